"""Our gateway, asked directly over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.models.ipfs.test_car import read
from webinfer.core.errors import PortInUse
from webinfer.models.ipfs import hamt
from webinfer.models.ipfs.block import Block, verify
from webinfer.models.ipfs.cid import CID, RAW
from webinfer.models.ipfs.dag_pb import Link
from webinfer.models.ipfs.unixfs import resolve
from webinfer.models.sources.ipfs.server import serving
from webinfer.models.sources.ipfs.store.block_store import BlockStore

CAR, RAW_BLOCK = "application/vnd.ipld.car", "application/vnd.ipld.raw"


@pytest.fixture
async def asked(source: BlockStore) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a gateway over ``source``."""
    async with serving(source) as url, aiohttp.ClientSession(url) as session:
        yield session


async def blocks(asked: aiohttp.ClientSession, path: str) -> list[Block]:
    async with asked.get(path) as response:
        assert response.status == 200
        return [verify(block) for block in read(await response.read())]


async def test_archive_has_every_block_once_depth_first(
    asked: aiohttp.ClientSession, source: BlockStore, root: CID
) -> None:
    got = await blocks(asked, f"/ipfs/{root}?format=car")
    assert got[0].cid == root
    assert len({block.cid for block in got}) == len(got) == len(list(source.directory.rglob("*/*")))
    async with asked.get(f"/ipfs/{root}?format=car") as response:
        assert response.content_length == len(await response.read())  # said beforehand, so nothing is chunked


async def test_scopes_say_how_much_comes(asked: aiohttp.ClientSession, source: BlockStore, root: CID) -> None:
    file = resolve(source.get, root, "onnx/model.onnx")
    assert [block.cid for block in await blocks(asked, f"/ipfs/{root}?format=car&dag-scope=block")] == [root]
    assert [block.cid for block in await blocks(asked, f"/ipfs/{root}?format=car&dag-scope=entity")] == [root]
    got = await blocks(asked, f"/ipfs/{root}/onnx/model.onnx?format=car&dag-scope=entity")
    assert [block.cid for block in got[:3]] == file
    assert len(got) == 3 + 4  # the way, and the leaves


async def test_listing_of_a_sharded_directory_has_its_shards_and_no_files(
    asked: aiohttp.ClientSession, source: BlockStore
) -> None:
    file = Block.of(RAW, b"x")
    source.put(file)
    shards: list[CID] = []

    def put(block: Block) -> None:
        source.put(block)
        shards.append(block.cid)

    root = hamt.build([Link(file.cid, f"n{number}", 1) for number in range(600)], put)[0]
    got = await blocks(asked, f"/ipfs/{root.cid}?format=car&dag-scope=entity")
    assert {block.cid for block in got} == set(shards)
    assert len(shards) > 1


async def test_heads_are_those_of_the_specification(asked: aiohttp.ClientSession, root: CID) -> None:
    for method in ("GET", "HEAD"):
        async with asked.request(method, f"/ipfs/{root}", headers={"Accept": f"{CAR}; version=1"}) as response:
            assert response.status == 200
            assert response.content_type == CAR
            assert "immutable" in response.headers["Cache-Control"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["X-Ipfs-Roots"] == str(root)
            assert response.headers["Content-Disposition"].startswith("attachment")
            assert bool(await response.read()) == (method == "GET")
            tag = response.headers["ETag"]
    async with asked.get(f"/ipfs/{root}?format=car", headers={"If-None-Match": tag}) as response:
        assert response.status == 304


async def test_raw_block_is_given_and_the_empty_one_always(
    asked: aiohttp.ClientSession, source: BlockStore, root: CID
) -> None:
    async with asked.get(f"/ipfs/{root}?format=raw") as response:
        assert (response.status, response.content_type) == (200, RAW_BLOCK)
        assert await response.read() == source.get(root)
    async with asked.get("/ipfs/bafkqaaa", headers={"Accept": RAW_BLOCK}) as response:
        assert (response.status, await response.read()) == (200, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("{root}", 400),
        ("{root}?format=html", 406),
        ("{root}?format=car&car-version=2", 406),
        ("{root}?format=car&dag-scope=most", 400),
        ("nonsense?format=car", 400),
        ("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e?format=raw", 404),
        ("{root}/absent?format=car", 404),
        ("{root}/config.json/absent?format=car", 404),
        ("{root}/..%2Fconfig.json?format=car", 404),
    ],
)
async def test_questions_that_cannot_be_answered(
    asked: aiohttp.ClientSession, root: CID, path: str, status: int
) -> None:
    async with asked.get("/ipfs/" + path.format(root=root)) as response:
        assert response.status == status
        assert response.content_type == "text/plain"


async def test_archive_breaks_off_where_a_block_is_missing(
    asked: aiohttp.ClientSession, source: BlockStore, root: CID
) -> None:
    lost = resolve(source.get, root, "onnx/deep/ünï.txt")[-1]
    source._path(lost).unlink()
    with pytest.raises(aiohttp.ClientPayloadError):
        await blocks(asked, f"/ipfs/{root}?format=car")


async def test_port_in_use_is_a_typed_error(source: BlockStore) -> None:
    async with serving(source) as url:
        with pytest.raises(PortInUse):
            async with serving(source, port=int(url.rpartition(":")[2])):
                pass
