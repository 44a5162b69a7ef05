"""Fetching from good gateways and bad ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from tests.models.ipfs.conftest import HURRIED, contents, gateway, kept
from webinfer.core.errors import FetchError, IntegrityError, InvalidModel, ModelNotFound, OptionError
from webinfer.core.progress import Progress
from webinfer.models.ipfs import hamt
from webinfer.models.ipfs.block import MAX_BLOCK, Block
from webinfer.models.ipfs.car import header, section_head
from webinfer.models.ipfs.cid import CID, DAG_PB, RAW
from webinfer.models.ipfs.dag_pb import Kind, Link, Node, encode
from webinfer.models.ipfs.importer import Importer
from webinfer.models.ipfs.unixfs import resolve
from webinfer.models.sources.ipfs.fetch import fetch, fetch_several
from webinfer.models.sources.ipfs.gateway import CAR_ACCEPT, RAW_TYPE, Patience, check_url
from webinfer.models.sources.ipfs.server import serving, walk
from webinfer.models.sources.ipfs.store.block_store import BlockStore
from webinfer.models.sources.ipfs.store.exporter import write_whole

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
EVIL = Block.of(RAW, b"evil")


def archive(blocks: list[Block]) -> bytes:
    return header((blocks[0].cid,)) + b"".join(
        section_head(block.cid, len(block.data)) + block.data for block in blocks
    )


def always(body: bytes, *, status: int = 200, kind: str = CAR_ACCEPT, **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        if status == 200 and kind == CAR_ACCEPT and request.query["format"] != "car":
            return web.Response(status=404)
        return web.Response(body=body, status=status, headers={"Content-Type": kind, **headers})

    return answer


async def bring(root: CID, store: BlockStore, *urls: str, path: str = "", patience: Patience = HURRIED) -> CID:
    return await fetch(root, path, store, gateways=urls, patience=patience)


def all_of(source: BlockStore, root: CID) -> list[Block]:
    return list(walk(source.get, [root], "all"))


def assert_clean(store: BlockStore, allowed: list[Block]) -> None:
    """The store holds only blocks of the DAG, each with the right bytes, and nothing half-written."""
    names = {store._path(block.cid): block.data for block in allowed}
    assert {path: path.read_bytes() for path in kept(store)}.items() <= names.items()


async def test_directory_comes_whole_from_our_own_gateway(
    root: CID, source: BlockStore, store: BlockStore, directory: Path, tmp_path: Path
) -> None:
    told: list[Progress] = []
    async with serving(source) as url:
        assert await fetch(root, "", store, gateways=[url], progress=told.append) == root
    write_whole(store.get, root, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(directory)
    assert told[-1].done == told[-1].total == sum(len(block.data) for block in all_of(source, root))


async def test_path_brings_only_what_it_leads_to(root: CID, source: BlockStore, store: BlockStore) -> None:
    async with serving(source) as url:
        target = await bring(root, store, url, path="onnx/deep")
    assert target == resolve(source.get, root, "onnx/deep")[-1]
    assert len(kept(store)) == 4  # root, onnx, deep, the file in it


async def test_path_through_a_sharded_directory_is_found(source: BlockStore, store: BlockStore) -> None:
    blocks = [Block.of(RAW, b"%d" % number) for number in range(700)]
    for block in blocks:
        source.put(block)
    root = hamt.build([Link(block.cid, f"n{i}", 3) for i, block in enumerate(blocks)], source.put)[0].cid
    async with serving(source) as url:
        assert await bring(root, store, url, path="n321") == blocks[321].cid
        assert len(kept(store)) < 10
        await bring(root, store, url)
    assert_clean(store, all_of(source, root))
    assert len(kept(store)) == len(all_of(source, root))


async def test_path_that_leads_nowhere_is_a_typed_error(root: CID, source: BlockStore, store: BlockStore) -> None:
    for block in all_of(source, root):
        store.put(block)
    with pytest.raises(ModelNotFound, match="absent"):
        await bring(root, store, path="onnx/absent")
    with pytest.raises(ModelNotFound, match="in a file"):
        await bring(root, store, path="config.json/absent")


async def test_what_is_in_the_store_needs_nobody(root: CID, source: BlockStore) -> None:
    assert await bring(root, source) == root


async def test_nobody_to_ask_is_an_error_that_says_whom_to_name(root: CID, store: BlockStore) -> None:
    with pytest.raises(FetchError, match=r"WEBINFER_IPFS_GATEWAYS.*webinfer ipfs serve"):
        await bring(root, store)


async def test_only_missing_blocks_are_asked_for(root: CID, source: BlockStore, store: BlockStore) -> None:
    blocks = all_of(source, root)
    for block in blocks[::2]:
        store.put(block)
    missing = {str(block.cid) for block in blocks[1::2]}
    asked: list[str] = []
    async with serving(source) as url:

        async def through(request: web.Request) -> web.Response:
            asked.append(request.path.split("/")[2])
            raise web.HTTPTemporaryRedirect(url + request.path_qs)

        async with gateway(through) as redirecting:
            await bring(root, store, redirecting)
    assert set(asked) <= missing
    assert len(kept(store)) == len(blocks)


def flip(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


BAD: dict[str, Callable[[list[Block]], tuple[bytes, type[FetchError]]]] = {
    "a changed byte": lambda blocks: (flip(archive(blocks)), IntegrityError),
    "a block under another's name": lambda blocks: (
        archive([*blocks[:2], Block(blocks[2].cid, b"evil"), *blocks[3:]]),
        IntegrityError,
    ),
    "a changed root": lambda blocks: (
        archive([Block(blocks[0].cid, blocks[0].data + b"\0"), *blocks[1:]]),
        IntegrityError,
    ),
    "cut off": lambda blocks: (archive(blocks)[: len(archive(blocks)) * 2 // 3], FetchError),
    "no root": lambda blocks: (archive(blocks[1:]), FetchError),
    "only other blocks": lambda blocks: (archive([EVIL, EVIL]), FetchError),
    "no blocks": lambda blocks: (header((blocks[0].cid,)), FetchError),
    "nothing": lambda blocks: (b"", FetchError),
    "a huge block": lambda blocks: (archive([Block.of(RAW, bytes(MAX_BLOCK + 1))]), IntegrityError),
    "a page in disguise": lambda blocks: (b"<html>" * 99, IntegrityError),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_archive_is_refused_and_a_good_gateway_mends_it(
    name: str, root: CID, source: BlockStore, store: BlockStore, record_property: Callable[[str, object], None]
) -> None:
    blocks = all_of(source, root)
    body, error = BAD[name](blocks)
    async with gateway(always(body)) as bad, serving(source) as good:
        with pytest.raises(error) as caught:
            await bring(root, store, bad)
        assert type(caught.value) is error
        record_property("refused with", f"{error.__name__} ({error.code})")
        assert bad in str(caught.value)
        assert_clean(store, blocks)
        await bring(root, store, bad, good)
    assert len(kept(store)) == len(blocks)
    assert_clean(store, blocks)


async def test_unsolicited_blocks_are_ignored(root: CID, source: BlockStore, store: BlockStore) -> None:
    blocks = all_of(source, root)
    mixed = [EVIL, blocks[0], Block(EVIL.cid, b"not even that"), *blocks[1:], EVIL]
    async with gateway(always(archive(mixed))) as url:
        await bring(root, store, url)
    assert not store.holds(EVIL.cid)
    assert len(kept(store)) == len(blocks)


async def test_incomplete_archive_is_completed_block_by_block(root: CID, source: BlockStore, store: BlockStore) -> None:
    blocks = all_of(source, root)
    async with serving(source) as good:

        async def partly(request: web.Request) -> web.Response:
            if request.query["format"] == "car":
                return web.Response(body=archive(blocks[:-3]), headers={"Content-Type": CAR_ACCEPT})
            raise web.HTTPTemporaryRedirect(good + request.path_qs)

        async with gateway(partly) as url:
            await bring(root, store, url)
    assert len(kept(store)) == len(blocks)


async def test_page_with_status_200_is_refused(root: CID, store: BlockStore) -> None:
    async with gateway(always(b"<html>login</html>", kind="text/html")) as url:
        with pytest.raises(IntegrityError, match="text/html"):
            await bring(root, store, url)
    assert kept(store) == []


async def test_huge_single_block_is_refused(store: BlockStore) -> None:
    async with gateway(always(bytes(MAX_BLOCK + 1), kind=RAW_TYPE)) as url:
        with pytest.raises(IntegrityError, match="refused"):
            await bring(EVIL.cid, store, url)


@pytest.mark.parametrize("status", [400, 401, 404, 406, 410, 412, 429, 451, 502, 504])
async def test_status_is_told_and_the_next_gateway_asked(
    status: int, root: CID, source: BlockStore, store: BlockStore
) -> None:
    async with gateway(always(b"no", status=status, **{"Retry-After": "0"})) as bad, serving(source) as good:
        with pytest.raises(FetchError, match=f"HTTP {status}"):
            await bring(root, store, bad)
        await bring(root, store, bad, good)
    assert len(kept(store)) == len(all_of(source, root))


async def test_busy_gateway_is_asked_again(root: CID, source: BlockStore, store: BlockStore) -> None:
    asked: list[float] = []
    async with serving(source) as good:

        async def busy(request: web.Request) -> web.Response:
            asked.append(asyncio.get_running_loop().time())
            if len(asked) < 3:
                return web.Response(status=429)
            raise web.HTTPTemporaryRedirect(good + request.path_qs)

        async with gateway(busy) as url:
            await bring(root, store, url)
    assert len(asked) == 3
    assert asked[1] - asked[0] >= HURRIED.back_off
    assert asked[2] - asked[1] >= 2 * HURRIED.back_off


@pytest.mark.parametrize("after", [0, 200, 2_000_000])
async def test_stalled_gateway_is_left_for_another(
    after: int, root: CID, source: BlockStore, store: BlockStore
) -> None:
    body = archive(all_of(source, root))
    ended = asyncio.Event()

    async def stall(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": CAR_ACCEPT})
        if after and request.query["format"] == "car":
            await response.prepare(request)
            await response.write(body[:after])
        await ended.wait()
        return response

    async with gateway(stall) as stalled, serving(source) as good:
        brief = replace(HURRIED, silence=0.3)
        with pytest.raises(FetchError, match="nothing for too long"):
            await bring(root, BlockStore(store.directory.parent / "other"), stalled, patience=brief)
        await bring(root, store, stalled, good, patience=replace(HURRIED, silence=1.0))
        ended.set()
    assert_clean(store, all_of(source, root))


async def test_nobody_listens(root: CID, store: BlockStore) -> None:
    with pytest.raises(FetchError, match="could not be asked"):
        await bring(root, store, "http://127.0.0.1:9")


async def test_right_block_that_is_no_file_is_a_typed_error(source: BlockStore, store: BlockStore) -> None:
    wrong = Block.of(DAG_PB, b"\xff\xff no protocol buffer")
    source.put(wrong)
    async with gateway(always(archive([wrong]))) as url:
        with pytest.raises(InvalidModel, match="no file or directory"):
            await bring(wrong.cid, store, url)


async def test_link_to_data_of_another_codec_is_a_typed_error(store: BlockStore) -> None:
    other = Block.of(0x71, b"\xa0")
    root = encode(Node(Kind.DIRECTORY, (Link(other.cid, "data", 1),)))
    async with gateway(always(archive([root, other]))) as url:
        with pytest.raises(InvalidModel, match="dag-cbor"):
            await bring(root.cid, store, url)


async def test_two_fetches_into_one_store_both_end_well(root: CID, source: BlockStore, store: BlockStore) -> None:
    async with serving(source) as url:
        await asyncio.gather(bring(root, store, url), bring(root, store, url))
    assert len(kept(store)) == len(all_of(source, root))


@pytest.mark.parametrize("url", ["", "gateway", "ftp://x", "http://", "http://x?y"])
def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(OptionError, match="no address"):
        check_url(url)


async def test_several_paths_are_fetched_side_by_side(source: BlockStore, store: BlockStore, tmp_path: Path) -> None:
    names = [f"file{number}" for number in range(4)]
    (tmp_path / "flat").mkdir()
    for name in names:
        (tmp_path / "flat" / name).write_bytes(name.encode())
    cid = Importer(put=source.put).add(tmp_path / "flat").cid
    everybody = asyncio.Barrier(len(names))  # none is answered before all are asked for
    told: list[Progress] = []

    async def answer(request: web.Request) -> web.Response:
        wanted = CID.parse(request.path.split("/")[2])
        if wanted.codec == RAW and wanted.inline is None:
            async with asyncio.timeout(HURRIED.silence / 2):
                await everybody.wait()
        return web.Response(body=source.get(wanted), content_type=RAW_TYPE)

    async with gateway(answer) as url:
        await fetch(cid, "", store, gateways=[url], patience=HURRIED, listing=True)
        targets = await fetch_several(cid, names, store, gateways=[url], patience=HURRIED, progress=told.append)
    assert [store.get(target) for target in targets] == [name.encode() for name in names]
    assert told[-1].done == told[-1].total == sum(map(len, names))
    assert [one.done for one in told] == sorted(one.done for one in told)
