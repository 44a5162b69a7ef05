"""Files and directories: the CIDs that others give them, and what no file may be."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.ipfs.conftest import contents as read
from webinfer.core.errors import InvalidModel, ModelNotFound, StoreError
from webinfer.models.ipfs import hamt
from webinfer.models.ipfs.block import Block
from webinfer.models.ipfs.cid import CID, DAG_PB, RAW
from webinfer.models.ipfs.dag_pb import Kind, Link, Node, decode, encode
from webinfer.models.ipfs.importer import Importer
from webinfer.models.ipfs.unixfs import children, contents, resolve, split, tree
from webinfer.models.sources.ipfs.store import exporter as export

Blocks = dict[CID, bytes]


def importer(blocks: Blocks, **how: Any) -> Importer:
    return Importer(put=lambda block: blocks.__setitem__(block.cid, block.data), **how)


def getter(blocks: Blocks) -> Callable[[CID], bytes]:
    return blocks.__getitem__


def keep(blocks: Blocks, node: Node) -> CID:
    block = encode(node)
    blocks[block.cid] = block.data
    return block.cid


def test_files_get_the_cids_that_other_implementations_give_them() -> None:
    # Reference: ipfs-car 3.1.0 and @helia/unixfs 8.0.5 under the profile unixfs-v1-2025, which agree.
    made = importer({})
    assert (
        str(made.file(io.BytesIO(b"hello world")).cid) == "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    )
    assert str(made.file(io.BytesIO()).cid) == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    assert str(made.directory([]).cid) == "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"


def test_directories_get_the_cids_that_other_implementations_give_them(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "large").write_bytes(bytes(range(256)) * 10_000)
    (tmp_path / "small").write_bytes(b"hello world")
    (tmp_path / "empty").write_bytes(b"")
    assert str(importer({}).add(tmp_path).cid) == "bafybeihyi3rz7mk52bshbhhblp4b7ri7uvix5ka7o3vfi33seiiqqdyx7y"


def test_sharded_directory_gets_the_cid_that_other_implementations_give_it() -> None:
    blocks: Blocks = {}
    made = importer(blocks)
    links = [Link(made.file(io.BytesIO(b"%d" % i)).cid, f"file-{i:05}", len(str(i))) for i in range(6000)]
    root = made.directory(links).cid
    assert str(root) == "bafybeib2fhj6bbbnjfvtqhenlsebxmuk2uzuga35yxevqhwz2jywkxso6m"
    assert decode(root, blocks[root]).kind == Kind.SHARD
    assert resolve(getter(blocks), root, "file-04321")[-1] == links[4321].cid


@pytest.mark.parametrize("nbytes", [0, 1, 1023, 1024, 1025, 4096, 4097, 16384, 16385, 65537, 70001])
def test_file_survives_at_every_border_of_its_tree(nbytes: int) -> None:
    data = random.Random(nbytes).randbytes(nbytes)
    blocks: Blocks = {}
    link = importer(blocks, chunk=1024, width=4).file(io.BytesIO(data))
    assert b"".join(contents(getter(blocks), link.cid)) == data
    assert link.size == sum(map(len, blocks.values()))


@settings(max_examples=25)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="/\\:", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20),
        st.binary(max_size=60),
        max_size=40,
    )
)
def test_entries_survive_in_plain_and_sharded_directories(files: dict[str, bytes]) -> None:
    files = {name: data for name, data in files.items() if name not in (".", "..")}
    for limit in (1 << 20, 0):
        blocks: Blocks = {}
        made = importer(blocks, shard_above=limit)
        links = [Link((part := made.file(io.BytesIO(data))).cid, name, part.size) for name, data in files.items()]
        root = made.directory(links).cid
        get = getter(blocks)
        found = {entry.path: b"".join(contents(get, entry.cid)) for entry in tree(get, root) if entry.path}
        assert found == files
        for name, data in files.items():
            assert b"".join(contents(get, resolve(get, root, name)[-1])) == data
        with pytest.raises(ModelNotFound, match="no 'absent name of 21'"):
            resolve(get, root, "absent name of 21")


def test_hash_of_names_is_murmur3() -> None:
    # Reference: the first 64 of the 128 bits that MurmurHash3_x64_128 gives with seed 0.
    assert hamt.hash_name(b"").hex() == "0000000000000000"
    assert hamt.hash_name(b"hello").hex() == "cbd8a7b341bd9b02"
    assert hamt.hash_name(b"The quick brown fox jumps over the lazy dog").hex() == "e34bbc7bbc071b6c"


def test_directory_survives_the_disk(directory: Path, tmp_path: Path) -> None:
    blocks: Blocks = {}
    root = importer(blocks).add(directory).cid
    export.write_whole(getter(blocks), root, tmp_path / "out")
    assert read(tmp_path / "out") == read(directory)
    with pytest.raises(StoreError, match="there already"):
        export.write_whole(getter(blocks), root, tmp_path / "out")


def test_hidden_files_are_left_out_unless_asked_for(directory: Path) -> None:
    before = importer({}).add(directory)
    (directory / ".git").mkdir()
    (directory / ".git" / "config").write_bytes(b"x")
    assert importer({}).add(directory) == before
    assert Importer(put=lambda block: None, hidden=True).add(directory) != before


def test_symbolic_links_are_refused_unless_followed(directory: Path, tmp_path: Path) -> None:
    before = importer({}).add(directory)
    (directory / "config.json").rename(tmp_path / "blob")
    (directory / "config.json").symlink_to(tmp_path / "blob")
    with pytest.raises(InvalidModel, match="symbolic link"):
        importer({}).add(directory)
    following = Importer(put=lambda block: None, follow=True)
    assert following.add(directory) == before
    (directory / "loop").symlink_to(directory)
    with pytest.raises(InvalidModel, match="leads back"):
        following.add(directory)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc", "..\\x", "C:x", "a\0b"])
@pytest.mark.parametrize("sharded", [False, True])
def test_name_that_leads_out_of_a_directory_is_refused(name: str, sharded: bool, tmp_path: Path) -> None:
    blocks: Blocks = {}
    file = importer(blocks).file(io.BytesIO(b"evil"))
    entry = Link(file.cid, name, file.size)
    if sharded and name:
        root = hamt.build([entry, Link(file.cid, "ok", file.size)], lambda b: blocks.__setitem__(b.cid, b.data))[0].cid
    else:
        root = keep(blocks, Node(Kind.DIRECTORY, (entry,)))
    with pytest.raises(InvalidModel, match="unsafe"):
        export.write_whole(getter(blocks), root, tmp_path / "out")
    assert list(tmp_path.rglob("*")) == []


def test_symbolic_link_in_a_dag_is_refused(tmp_path: Path) -> None:
    blocks: Blocks = {}
    link = keep(blocks, Node(Kind.SYMLINK, data=b"/etc/passwd"))
    root = keep(blocks, Node(Kind.DIRECTORY, (Link(link, "passwd", 1),)))
    with pytest.raises(InvalidModel, match="symlink"):
        export.write_whole(getter(blocks), root, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["..", "a/../b", "a\\b", "./a"])
def test_path_that_leads_up_is_refused(path: str) -> None:
    with pytest.raises(ModelNotFound):
        split(path)


def test_name_that_is_there_twice_is_refused() -> None:
    blocks: Blocks = {}
    file = importer(blocks).file(io.BytesIO(b"x"))
    node = Node(Kind.DIRECTORY, (Link(file.cid, "a", 1), Link(file.cid, "a", 1)))
    with pytest.raises(InvalidModel, match="twice"):
        list(children(getter(blocks), node))


def test_file_whose_parts_are_of_other_sizes_is_refused() -> None:
    blocks: Blocks = {}
    part = importer(blocks).file(io.BytesIO(b"12345"))
    for size in (4, 6):
        cid = keep(blocks, Node(Kind.FILE, (part,), size=size, sizes=(size,)))
        with pytest.raises(InvalidModel, match="does not have the"):
            list(contents(getter(blocks), cid))


def test_small_dag_that_describes_more_than_the_disk_holds_is_refused(tmp_path: Path) -> None:
    blocks: Blocks = {}
    link, nbytes = importer(blocks).file(io.BytesIO(bytes(1000))), 1000
    for _ in range(5):
        nbytes *= 1000
        link = Link(keep(blocks, Node(Kind.FILE, (link,) * 1000, size=nbytes, sizes=(nbytes // 1000,) * 1000)))
    with pytest.raises(StoreError, match="the disk has"):
        export.write_whole(getter(blocks), link.cid, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_small_dag_that_describes_endless_directories_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webinfer.models.ipfs.unixfs.MAX_ENTRIES", 1000)
    blocks: Blocks = {}
    cid = importer(blocks).file(io.BytesIO(b"x")).cid
    for _ in range(8):
        cid = keep(blocks, Node(Kind.DIRECTORY, tuple(Link(cid, f"{n}") for n in range(8))))
    with pytest.raises(InvalidModel, match="more than"):
        list(tree(getter(blocks), cid))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_node_or_a_typed_error(data: bytes) -> None:
    block = Block.of(DAG_PB, data)
    try:
        node = decode(block.cid, data)
        list(tree({block.cid: data}.__getitem__, block.cid))
    except (InvalidModel, KeyError):
        return
    assert node.is_file or node.is_directory


def test_wrong_codec_is_refused() -> None:
    cid = CID(0x71, 0x12, bytes(32))
    with pytest.raises(InvalidModel, match="dag-cbor"):
        decode(cid, b"\xa0")


def test_raw_block_is_a_file() -> None:
    block = Block.of(RAW, b"hello")
    assert list(contents({block.cid: block.data}.__getitem__, block.cid)) == [b"hello"]
