"""A local Kubo node, played by its RPC interface over a store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.models.ipfs.conftest import HURRIED, contents, kept
from webinfer.core.errors import FetchError, IntegrityError
from webinfer.models.ipfs.block import Block
from webinfer.models.ipfs.car import header, section_head
from webinfer.models.ipfs.cid import CID
from webinfer.models.sources.ipfs import kubo
from webinfer.models.sources.ipfs.fetch import fetch
from webinfer.models.sources.ipfs.gateway import Question
from webinfer.models.sources.ipfs.server import walk
from webinfer.models.sources.ipfs.store.block_store import BlockStore
from webinfer.models.sources.ipfs.store.exporter import write_whole


class Node:
    """What Kubo answers to ``version``, ``block/get`` and ``dag/export``, all of which it takes as POST only."""

    def __init__(self, store: BlockStore) -> None:
        self.store = store
        self.calls: list[str] = []
        self.lie = b""  # sent in place of each block

    async def answer(self, request: web.Request) -> web.Response:
        call = request.path.removeprefix("/api/v0/")
        self.calls.append(call)
        if call == "version":
            return web.json_response({"Version": "0.32.1", "System": "amd64/linux"})
        cid = CID.parse(request.query["arg"])
        if not self.store.holds(cid):
            return web.json_response({"Message": "block was not found locally", "Code": 0}, status=500)
        if call == "block/get":
            return web.Response(body=self.lie or self.store.get(cid), content_type="text/plain")
        assert request.query["progress"] == "false"
        blocks = [Block(block.cid, self.lie or block.data) for block in walk(self.store.get, [cid], "all")]
        body = header((cid,)) + b"".join(section_head(block.cid, len(block.data)) + block.data for block in blocks)
        return web.Response(body=body, content_type="application/vnd.ipld.car")


@asynccontextmanager
async def served(node: Node) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/api/v0/{call:.*}", node.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def node(source: BlockStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """The node that WEBINFER_IPFS_API names, with the blocks of ``source``."""
    made = Node(source)
    async with served(made) as url:
        monkeypatch.setenv(kubo.VARIABLE, url)
        yield made


async def test_directory_comes_from_kubo_without_any_gateway(
    node: Node, root: CID, store: BlockStore, directory: Path, tmp_path: Path
) -> None:
    assert await fetch(root, "", store, gateways=[], patience=HURRIED) == root
    write_whole(store.get, root, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(directory)
    assert "dag/export" in node.calls


async def test_path_is_followed_block_by_block(node: Node, root: CID, store: BlockStore) -> None:
    target = await fetch(root, "onnx/deep", store, gateways=[], patience=HURRIED)
    assert store.holds(target)
    assert len(kept(store)) < len(kept(node.store))
    assert node.calls[0] == "block/get"


async def test_lying_kubo_is_refused_and_nothing_of_it_is_kept(node: Node, root: CID, store: BlockStore) -> None:
    node.lie = b"evil"
    with pytest.raises(IntegrityError, match="Could not fetch"):
        await fetch(root, "", store, gateways=[], patience=HURRIED)
    assert not kept(store)
    node.lie = b""
    assert await fetch(root, "", store, gateways=[], patience=HURRIED) == root


async def test_kubo_that_lacks_a_block_is_told(node: Node, root: CID, store: BlockStore) -> None:
    for path in kept(node.store):
        path.unlink()
    with pytest.raises(FetchError, match="no such block"):
        await fetch(root, "", store, gateways=[], patience=HURRIED)


async def test_kubo_tells_what_it_is_and_another_server_is_none(
    node: Node, root: CID, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with aiohttp.ClientSession() as session:
        [found] = await kubo.find(session, HURRIED)
        await found.probe()
        answer = await found.ask(Question(root, whole=False))
        assert [block.data async for block in answer.blocks()] == [node.store.get(root)]
        with pytest.raises(FetchError, match="is no Kubo"):
            await kubo.Kubo(f"{found.name}/elsewhere", session, HURRIED).probe()
        monkeypatch.setattr(kubo, "USUAL", found.name)
        monkeypatch.delenv(kubo.VARIABLE)
        assert [one.name for one in await kubo.find(session, HURRIED)] == [found.name]
        monkeypatch.setenv(kubo.VARIABLE, " ")
        assert await kubo.find(session, HURRIED) == []
