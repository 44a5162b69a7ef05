"""CIDs as others write them, and what is none."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webinfer.core.errors import InvalidModel, ModelNotFound
from webinfer.models.ipfs.cid import CID, DAG_PB, IDENTITY, RAW, read_cid, read_varint, varint

HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


def test_cid_of_hello_world_is_the_known_one() -> None:
    assert str(CID.of(RAW, b"hello world")) == HELLO
    assert CID.parse(HELLO).names(b"hello world")
    assert not CID.parse(HELLO).names(b"hello world!")


def test_empty_directory_of_version_0_and_1_are_one() -> None:
    old, new = (
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
        "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354",
    )
    assert CID.parse(old) == CID.parse(new)
    assert str(CID.parse(old)) == new


def test_identity_carries_its_bytes() -> None:
    assert CID.parse("bafkqaaa") == CID(RAW, IDENTITY, b"")
    assert CID.parse("bafkqaaa").inline == b""
    assert CID.parse(HELLO).inline is None


@pytest.mark.parametrize("base", ["z", "b", "B", "f", "F"])
def test_cid_is_read_in_every_base(base: str) -> None:
    cid = CID.parse(HELLO)
    texts = {
        "b": str(cid),
        "B": str(cid).upper(),
        "f": "f" + bytes(cid).hex(),
        "F": "F" + bytes(cid).hex().upper(),
        "z": "zb2rhj7crUKTQYRGCRATFaQ6YFLTde2YzdqbbhAASkL9uRDXn",
    }
    assert CID.parse(texts[base]) == cid


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("hello", "letter of a known base"),
        ("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n", "cut off"),
        (HELLO + "aa", "after it"),
        ("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n0e", "no CID"),
        ("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3N0", "base58"),
        ("b" * 5000, "too long"),
        ("bafzaajaiaejcbyh6xnvwdo6mi5ryilp6vygyiqbhrkyhe2eqmadj7ipg2vkpk4ya", "IPNS"),
        ("bafyreigdmqpykrgxyaxtlafqpqhzrb7qy2rh75nldvfd4tucqmqqme5yje", "dag-cbor"),
        ("bafkrwcfzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", "hash"),
    ],
)
def test_text_that_names_no_file_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ModelNotFound, match=why):
        CID.parse(text)


def test_short_digest_is_refused() -> None:
    with pytest.raises(InvalidModel, match="20 bytes where 32"):
        read_cid(b"\x01\x55\x12\x14" + bytes(20), 0)


@given(st.binary(max_size=300), st.sampled_from([RAW, DAG_PB]))
def test_cid_survives_text_and_bytes(data: bytes, codec: int) -> None:
    cid = CID.of(codec, data)
    assert cid.digest == hashlib.sha256(data).digest()
    assert CID.parse(str(cid)) == cid
    assert read_cid(b"xx" + bytes(cid) + b"yy", 2) == (cid, 2 + len(cid))


@given(st.integers(0, 2**63 - 1))
def test_varint_survives(number: int) -> None:
    assert read_varint(varint(number), 0) == (number, len(varint(number)))


@given(st.text(max_size=80))
def test_any_text_is_a_cid_or_a_typed_error(text: str) -> None:
    with contextlib.suppress(ModelNotFound):
        CID.parse(text)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_cid_or_a_typed_error(data: bytes) -> None:
    with contextlib.suppress(InvalidModel):
        read_cid(data, 0)
