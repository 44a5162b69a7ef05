"""Archives: whole, in pieces, cut off, and forged."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webinfer.core.errors import FetchError, IntegrityError
from webinfer.models.ipfs.block import MAX_BLOCK, Block, verify
from webinfer.models.ipfs.car import CarReader, header, section_head
from webinfer.models.ipfs.cid import CID, RAW, varint

BLOCKS = [Block.of(RAW, data) for data in (b"", b"a", b"b" * 1000)]


def archive(blocks: list[Block], roots: int = 1) -> bytes:
    return header(tuple(block.cid for block in blocks[:roots])) + b"".join(
        section_head(block.cid, len(block.data)) + block.data for block in blocks
    )


def read(data: bytes, size: int | None = None) -> list[Block]:
    reader = CarReader()
    pieces = [data[start : start + size] for start in range(0, len(data), size)] if size else [data]
    blocks = [block for piece in pieces for block in reader.feed(piece)]
    reader.finish()
    return blocks


def test_header_is_the_known_one() -> None:
    known = "3aa265726f6f747381d82a58250001551220" + BLOCKS[1].cid.digest.hex() + "6776657273696f6e01"
    assert header((BLOCKS[1].cid,)).hex() == known


@pytest.mark.parametrize("size", [1, 7, 64, None])
def test_blocks_come_whole_however_the_archive_is_cut(size: int | None) -> None:
    assert read(archive(BLOCKS), size) == BLOCKS


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 500))
def test_archive_survives(data: list[bytes], size: int) -> None:
    blocks = [Block.of(RAW, one) for one in data]
    assert read(archive(blocks, roots=len(blocks)), size) == blocks


@given(st.integers(0, len(archive(BLOCKS)) - 1))
def test_archive_cut_anywhere_gives_a_typed_error_or_fewer_blocks(end: int) -> None:
    try:
        blocks = read(archive(BLOCKS)[:end])
    except (FetchError, IntegrityError):
        return
    assert blocks == BLOCKS[: len(blocks)]
    assert len(blocks) < len(BLOCKS)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_archive_or_a_typed_error(data: bytes) -> None:
    with contextlib.suppress(FetchError):
        read(data, 11)


@pytest.mark.parametrize(
    "data",
    [
        b"<html><body>Please log in</body></html>" * 9,
        b"\x0a\xa1\x67version\x02" + bytes(40),
        b"\xff" * 20,
        header(()) + b"\x00",
        header(()).replace(b"version\x01", b"version\x03"),
    ],
    ids=["html", "version 2", "varint", "empty section", "version 3"],
)
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="no archive"):
        read(data)


def test_block_over_2_mib_is_refused() -> None:
    cid = CID.of(RAW, b"")
    reader = CarReader()
    with pytest.raises(IntegrityError, match="refused"):
        list(reader.feed(header((cid,)) + varint(len(cid) + MAX_BLOCK + 1) + bytes(cid) + bytes(MAX_BLOCK + 1)))
    with pytest.raises(IntegrityError, match="refused"):
        list(CarReader().feed(header((cid,)) + varint(1 << 40)))


def test_changed_block_is_refused() -> None:
    block = BLOCKS[2]
    with pytest.raises(IntegrityError, match="another hash"):
        verify(Block(block.cid, b"c" + block.data[1:]))
    with pytest.raises(IntegrityError, match="refused"):
        verify(Block.of(RAW, bytes(MAX_BLOCK + 1)))
