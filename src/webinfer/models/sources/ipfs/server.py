"""A trustless gateway over the store, so that machines can feed each other.

It follows the *Trustless Gateway* specification, and serves only what is in the store. It never unpacks a file, so
nothing that it serves can be a page.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from webinfer.core.errors import FetchError, InvalidModel, ModelNotFound, PortInUse
from webinfer.models.ipfs import hamt
from webinfer.models.ipfs.block import Block
from webinfer.models.ipfs.car import header, section_head
from webinfer.models.ipfs.cid import CID, RAW
from webinfer.models.ipfs.dag_pb import Kind, Node, decode
from webinfer.models.ipfs.unixfs import Get, resolve
from webinfer.models.sources.ipfs.gateway import CAR_ACCEPT, CAR_TYPE, RAW_TYPE
from webinfer.models.sources.ipfs.store.block_store import BlockStore

LOOPBACK = "127.0.0.1"
SCOPES = ("block", "entity", "all")
_FOREVER = "public, max-age=29030400, immutable"  # the value that the specification asks for
_COUNTED = 4096  # blocks whose sizes are looked up before an archive's first byte is sent; 4 GiB of a file
_STORE = web.AppKey("store", BlockStore)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a request asks for.

    Attributes:
        form: ``raw`` or ``car``.
        scope: How much of the DAG an archive has, one of ``SCOPES``.
        root: The CID in the path.
        path: The rest of the path.
    """

    form: str
    scope: str
    root: CID
    path: str

    def tag(self, target: CID) -> str:
        """Return the entity tag of the answer."""
        return f'"{target}.raw"' if self.form == "raw" else f'"{self.root}.{target}.car.{self.scope}"'


def application(store: BlockStore) -> web.Application:
    """Return the gateway as an aiohttp application.

    Args:
        store: What it serves.
    """
    app = web.Application()
    app[_STORE] = store
    app.router.add_get("/ipfs/{cid}", _answer)  # HEAD comes with it
    app.router.add_get("/ipfs/{cid}/{path:.*}", _answer)
    return app


@asynccontextmanager
async def serving(store: BlockStore, address: str = LOOPBACK, port: int = 0) -> AsyncIterator[str]:
    """Serve the store as long as the block runs.

    Args:
        store: What to serve.
        address: Where to listen; on the loopback only this machine can ask.
        port: The port; 0 takes a free one.

    Yields:
        The gateway's address.

    Raises:
        PortInUse: Another process listens there.
    """
    runner = web.AppRunner(application(store), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address, port).start()
        except OSError as error:
            raise PortInUse(
                f"Cannot listen on {address}:{port}: {error.strerror}. Choose another port.", port=port
            ) from error
        host = f"[{address}]" if ":" in address else address
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def walk(get: Get, passed: list[CID], scope: str) -> Iterator[Block]:
    """Yield the blocks of an archive: those along a path, then the DAG at its end depth first, each once.

    Args:
        get: Returns the verified bytes of a block.
        passed: The CIDs along the path; the last one is the end.
        scope: ``block``: nothing but the end's block; ``entity``: a file, or a directory's listing; ``all``: all.

    Returns:
        An iterator over the blocks.
    """
    return (Block(cid, get(cid)) for cid in names(get, passed, scope))


def names(get: Get, passed: list[CID], scope: str) -> Iterator[CID]:
    """Yield the names of the blocks that ``walk`` yields, reading only those that lead to others.

    Args:
        get: Returns the bytes of a block, verified.
        passed: CIDs on the way to what was asked for, the root first.
        scope: ``block``, ``entity`` or ``all``, as the gateway specification has them.
    """
    visited: set[CID] = set()
    # A stack, whose top is the end of the list: the blocks along the path come off first, the root before all.
    waiting = [passed[-1], *reversed(passed[:-1])]
    on_the_way = set(passed[:-1])
    while waiting:
        cid = waiting.pop()
        if cid in visited:
            continue
        visited.add(cid)
        if cid.inline is None:  # an identity CID carries its block, which archives leave out
            yield cid
        if cid not in on_the_way and scope != "block" and cid.codec != RAW:
            waiting += reversed(_below(decode(cid, get(cid)), scope))


def length(store: BlockStore, passed: list[CID], scope: str) -> int | None:
    """Return the size of an archive in bytes, or ``None`` if a block is missing or there are very many.

    Args:
        store: Where the blocks are.
        passed: CIDs on the way to what was asked for, the root first.
        scope: ``block``, ``entity`` or ``all``, as the gateway specification has them.
    """
    nbytes = len(header((passed[0],)))
    try:
        for count, cid in enumerate(names(store.get, passed, scope)):
            if count == _COUNTED:
                return None
            size = store.size(cid)
            nbytes += len(section_head(cid, size)) + size
    except (FetchError, InvalidModel):
        return None
    return nbytes


def _below(node: Node, scope: str) -> list[CID]:
    if scope == "entity" and node.kind == Kind.SHARD:  # its further shards are part of the listing
        return [link.cid for name, link in hamt.entries(node) if not name]
    if scope == "entity" and node.is_directory:
        return []
    return [link.cid for link in node.links]


async def _answer(request: web.Request) -> web.StreamResponse:
    store, wish = request.app[_STORE], _wish(request)
    try:
        passed = await asyncio.to_thread(resolve, store.get, wish.root, wish.path)
        if not store.holds(passed[-1]):
            raise FetchError(f"Block {passed[-1]} is not here.")
    except (FetchError, ModelNotFound, InvalidModel) as error:
        only_here = "only-if-cached" in request.headers.get("Cache-Control", "")
        return _refuse(412 if only_here else 404, str(error))
    headers = _headers(request, wish, passed)
    if wish.tag(passed[-1]) in [tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")]:
        return web.Response(status=304, headers=headers)
    if wish.form == "raw":
        data = await asyncio.to_thread(store.get, passed[-1])
        return web.Response(body=data, headers=headers | {"Content-Type": RAW_TYPE})
    nbytes = await asyncio.to_thread(length, store, passed, wish.scope)
    return await _stream(request, walk(store.get, passed, wish.scope), wish.root, headers, nbytes)


async def _stream(
    request: web.Request, blocks: Iterator[Block], root: CID, headers: dict[str, str], nbytes: int | None
) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers | {"Content-Type": CAR_ACCEPT})
    response.content_length = nbytes  # without a length the answer is chunked, which copies each block once more
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    await response.write(header((root,)))
    try:
        async for block in _ahead(blocks):
            await response.write(section_head(block.cid, len(block.data)))
            await response.write(block.data)
    except (FetchError, InvalidModel):
        # The head is sent and a block is missing: break off, so that nobody takes the answer for whole.
        if request.transport is not None:
            request.transport.abort()
    return response


async def _ahead(blocks: Iterator[Block]) -> AsyncIterator[Block]:
    """Yield blocks, each read from the disk while the one before is being sent."""
    coming = asyncio.ensure_future(asyncio.to_thread(next, blocks, None))
    try:
        while (block := await coming) is not None:
            coming = asyncio.ensure_future(asyncio.to_thread(next, blocks, None))
            yield block
    finally:
        if not coming.done():  # a thread cannot be stopped, and it uses the iterator
            await asyncio.wait([coming])
        coming.cancelled() or coming.exception()  # read, so that asyncio does not report it as lost


def _wish(request: web.Request) -> _Wish:
    accepted = request.headers.get("Accept", "")
    form = request.query.get("format") or next(
        (name for name, kind in (("car", CAR_TYPE), ("raw", RAW_TYPE)) if kind in accepted), ""
    )
    scope = request.query.get("dag-scope", "all")
    version, order = (request.query.get(f"car-{name}") or _parameter(accepted, name) for name in ("version", "order"))
    if form not in ("raw", "car"):
        raise _error(406 if form else 400, "Ask for ?format=car or ?format=raw: this gateway serves nothing else.")
    if form == "car" and ((version or "1") != "1" or (order or "dfs") not in ("dfs", "unk")):
        raise _error(406, "This gateway serves CARv1 in the order dfs, and nothing else.")
    if scope not in SCOPES:
        raise _error(400, f"dag-scope must be one of {', '.join(SCOPES)}.")
    try:
        cid = CID.parse(request.match_info["cid"])
    except ModelNotFound as error:
        raise _error(400, str(error)) from None
    return _Wish(form, scope, cid, request.match_info.get("path", ""))


def _parameter(accepted: str, name: str) -> str | None:
    """Return a parameter of the accepted type, ``version`` in ``application/vnd.ipld.car; version=1``."""
    parts = (part.strip().partition("=") for part in accepted.split(",")[0].split(";")[1:])
    return next((value for key, _, value in parts if key == name), None)


def _headers(request: web.Request, wish: _Wish, passed: list[CID]) -> dict[str, str]:
    extension = "bin" if wish.form == "raw" else "car"
    return {
        "Cache-Control": _FOREVER,
        "Content-Disposition": f'attachment; filename="{passed[-1]}.{extension}"',
        "ETag": wish.tag(passed[-1]),
        "X-Content-Type-Options": "nosniff",
        "X-Ipfs-Path": request.rel_url.raw_path,
        "X-Ipfs-Roots": ",".join(map(str, passed)),
    }


def _refuse(status: int, why: str) -> web.Response:
    return web.Response(status=status, text=why, headers={"X-Content-Type-Options": "nosniff"})


def _error(status: int, why: str) -> web.HTTPException:
    kinds = {400: web.HTTPBadRequest, 406: web.HTTPNotAcceptable}
    return kinds[status](text=why, headers={"X-Content-Type-Options": "nosniff"})
