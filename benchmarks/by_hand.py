"""Loading by hand: a page that fetches the same files and creates the same sessions, with nothing in between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.processes.launch import launch
from webinfer.core.errors import LoadFailed
from webinfer.models.files.package import ModelPackage
from webinfer.transport.server import WEB

_ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_PATIENCE = 120.0  # seconds

_PAGE = """<!doctype html><script type="module">
for (let at = 0; at < COUNT; at++) new Worker("/worker.mjs", { type: "module" });
</script>"""

PRELUDE = """
const bundle = "Suspending" in WebAssembly ? "jspi" : "gpu" in navigator || "ml" in navigator ? "webgpu" : "wasm";
const ort = await import(`/runtime/ort.${bundle}.bundle.min.mjs`);
ort.env.wasm.numThreads = THREADS;
const bytes = async (url) => new Uint8Array(await (await fetch(url)).arrayBuffer());
const file = async ({ path, url }) => ({ path, data: await bytes(url) });
"""
"""What every worker by hand begins with: the runtime, with ``THREADS`` threads, and fetching."""

_WORKER = (
    PRELUDE
    + """
let sessions = [];
const socket = new WebSocket(`ws://${location.host}/ws`);
const answer = (fields) => socket.send(JSON.stringify(fields));
const load = async (wanted) => {
  for (const session of sessions) await session.release();
  sessions = [];
  const began = performance.now();
  const models = await Promise.all(
    wanted.map(async ({ url, external }) => [await bytes(url), await Promise.all(external.map(file))]),
  );
  const fetched = performance.now();
  for (const [model, externalData] of models)
    sessions.push(await ort.InferenceSession.create(model, { executionProviders: ["wasm"], externalData }));
  return { fetch: fetched - began, create: performance.now() - fetched };
};
socket.onmessage = ({ data }) => load(JSON.parse(data)).then(answer, (error) => answer({ error: `${error}` }));
"""
)


@dataclass(frozen=True, slots=True)
class Load:
    """How long a model took to load, all its parts together, in seconds.

    Attributes:
        seconds: From asking for it until it could be run.
        fetch: Of that, fetching its files, as the page's clock has it.
        create: Likewise, creating its sessions.
    """

    seconds: float
    fetch: float
    create: float


Loading = Callable[[], Awaitable[Load]]
"""Loads a model anew, after releasing what the last call loaded."""


@contextlib.asynccontextmanager
async def loading_by_hand(
    installation: Installation, packages: Sequence[ModelPackage], threads: int
) -> AsyncIterator[Loading]:
    """Start a browser whose page loads a model by hand, with WebAssembly.

    Args:
        installation: The browser.
        packages: The model, or its parts.
        threads: WebAssembly threads.
    """
    wanted = json.dumps([addresses(package) for package in packages])
    async with dialled(installation, packages, _WORKER.replace("THREADS", str(threads))) as (socket,):

        async def load() -> Load:
            began = time.perf_counter()
            await socket.send_str(wanted)
            timing: dict[str, Any] = await socket.receive_json(timeout=_PATIENCE)
            if "error" in timing:
                raise LoadFailed(f"By hand, {packages[0].name} does not load: {timing['error']}")
            return Load(time.perf_counter() - began, timing["fetch"] / 1e3, timing["create"] / 1e3)

        yield load


@contextlib.asynccontextmanager
async def dialled(
    installation: Installation, packages: Sequence[ModelPackage], source: str, count: int = 1
) -> AsyncIterator[list[web.WebSocketResponse]]:
    """Start a browser whose page has workers of its own, and yield their sockets once all have dialled.

    Args:
        installation: The browser.
        packages: Models whose files the workers may fetch.
        source: The workers' JavaScript; each opens one WebSocket, at ``/ws``.
        count: How many workers.
    """
    sockets: list[web.WebSocketResponse] = []
    complete, over = asyncio.Event(), asyncio.Event()
    files = {file.sha256: file.path for package in packages for file in (package.model, *package.external)}

    async def socket(request: web.Request) -> web.WebSocketResponse:
        opened = web.WebSocketResponse()
        await opened.prepare(request)
        sockets.append(opened)
        if len(sockets) == count:
            complete.set()
        await over.wait()
        return opened

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=_PAGE.replace("COUNT", str(count)), content_type="text/html")

    async def worker(_: web.Request) -> web.Response:
        return web.Response(text=source, content_type="text/javascript")

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(files[request.match_info["sha256"]], headers=_FOREVER)

    async def isolate(_: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_ISOLATION)

    app = web.Application()
    app.on_response_prepare.append(isolate)
    app.add_routes([web.get("/", page), web.get("/worker.mjs", worker), web.get("/ws", socket)])
    app.add_routes([web.get("/models/{sha256}", file), web.static("/runtime", WEB / "runtime")])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    process = await launch(installation, f"http://127.0.0.1:{runner.addresses[0][1]}/")
    try:
        await asyncio.wait_for(complete.wait(), _PATIENCE)
        yield sockets
    finally:
        over.set()
        await process.close()
        await runner.cleanup()


def addresses(package: ModelPackage) -> dict[str, Any]:
    """Return where a page finds a model's files."""
    external = [{"path": each.name, "url": f"/models/{each.sha256}"} for each in package.external]
    return {"url": f"/models/{package.model.sha256}", "external": external}
