"""What the bridge costs: a tiny model end to end, beside a raw WebSocket echo and beside Playwright's evaluate.

The raw echo is the floor: a worker of the same browser that sends each message straight back, with nothing in
between but aiohttp. By hand is the limit: that worker gives the bytes of each message to the same model in the
same runtime and sends back the bytes of its answer, with no names, shapes, checks, queue or figures. Playwright's
``page.evaluate`` is how pages are usually driven from Python; it carries the same numbers as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

import numpy as np
from aiohttp import WSMsgType, web
from playwright.async_api import async_playwright

from benchmarks.measure import Contestant, machine, median_ms, parser, show, take_turns
from webinfer import Accelerator, AsyncAccelerator
from webinfer.browsers.discovery.find import Installation, find
from webinfer.browsers.processes.launch import launch
from webinfer.models.zoo.probe import echo_model
from webinfer.transport.server import WEB

_PAGE = """<!doctype html><script>
const body = `const socket = new WebSocket("ws://" + "${location.host}" + "/ws"); socket.binaryType = "arraybuffer";
socket.onmessage = (message) => socket.send(message.data);`;
new Worker(URL.createObjectURL(new Blob([body])));
</script>"""

_BY_HAND = """<!doctype html><script type="module">
const body = `import * as ort from "${location.origin}/runtime/ort.jspi.bundle.min.mjs";
ort.env.wasm.numThreads = 1;
const model = await (await fetch("${location.origin}/model")).arrayBuffer();
const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
const socket = new WebSocket("ws://" + "${location.host}" + "/ws"); socket.binaryType = "arraybuffer";
socket.onmessage = async (message) => {
  const floats = new Float32Array(message.data);
  const { y } = await session.run({ x: new ort.Tensor("float32", floats, [floats.length]) });
  socket.send(y.data);
};`;
new Worker(URL.createObjectURL(new Blob([body], { type: "text/javascript" })), { type: "module" });
</script>"""

SIZES = [64, 4096, 65536, 1 << 20, 16 << 20]
EVALUATED = [16, 1024]


class Echo:
    """A WebSocket whose other end sends everything back."""

    def __init__(self) -> None:
        self.ready: asyncio.Future[web.WebSocketResponse] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=1 << 30, compress=False)
        await socket.prepare(request)
        self.ready.set_result(socket)
        await self._over.wait()
        return socket

    def close(self) -> None:
        self._over.set()


@contextlib.asynccontextmanager
async def raw_echo(installation: Installation, page: str = _PAGE) -> AsyncIterator[web.WebSocketResponse]:
    """Start a browser whose worker echoes, as ``page`` has it do, and yield the socket to it."""
    echo = Echo()
    app = web.Application()
    app.router.add_get("/", lambda _: asyncio.sleep(0, web.Response(text=page, content_type="text/html")))
    app.router.add_get("/ws", echo.serve)
    app.router.add_get("/model", lambda _: asyncio.sleep(0, web.FileResponse(echo_model())))
    app.router.add_static("/runtime", WEB / "runtime")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    process = await launch(installation, f"http://127.0.0.1:{runner.addresses[0][1]}/")
    try:
        yield await asyncio.wait_for(echo.ready, 60)
    finally:
        echo.close()
        await process.close()
        await runner.cleanup()


async def there_and_back(socket: web.WebSocketResponse, payload: bytes) -> None:
    """Send bytes and wait for as many."""
    await socket.send_bytes(payload)
    message = await socket.receive()
    assert message.type is WSMsgType.BINARY
    assert len(message.data) == len(payload)


async def against_echo(installation: Installation, accelerator: AsyncAccelerator, quick: bool) -> None:
    """Compare with the raw echo and with the same model by hand, size by size."""
    model = await accelerator.load(echo_model(), platform="wasm")
    rows = []
    by_hand = raw_echo(installation, _BY_HAND)
    async with raw_echo(installation) as raw, by_hand as hand:
        for size in SIZES:
            array = np.random.default_rng(0).random(size // 4, dtype=np.float32)
            payload = array.tobytes()

            async def ours(array: np.ndarray[tuple[int], np.dtype[np.float32]] = array) -> None:
                result = await model.run({"x": array})
                assert result.outputs["y"].shape == array.shape

            contestants: dict[str, Contestant] = {
                "raw": partial(there_and_back, raw, payload),
                "hand": partial(there_and_back, hand, payload),
                "ours": ours,
            }
            runs = (100 if size <= 65536 else 10 if size <= 1 << 20 else 3) // (10 if quick else 1) or 1
            times = await take_turns(contestants, rounds=10, runs=runs, warm_up=20 if size <= 65536 else 2)
            floor, limit, cost = (median_ms(times[name]) for name in ("raw", "hand", "ours"))
            figures = [f"{floor:.3f}", f"{limit:.3f}", f"{cost:.3f}"]
            rows.append([f"{size:,} B", *figures, f"{cost / floor:.2f}", f"{floor / cost:.0%}", f"{cost / limit:.2f}"])
    columns = ["payload each way", "raw echo p50 ms", "by hand", "webinfer"]
    ratios = ["times the echo", "of its throughput", "times by hand"]
    show(f"A tiny model end to end against a raw WebSocket echo ({installation.name})", columns + ratios, rows)


async def against_evaluate(installation: Installation, accelerator: AsyncAccelerator, quick: bool) -> None:
    """Compare with ``page.evaluate``, carrying the same floats both ways."""
    model = await accelerator.load(echo_model(), platform="wasm")
    rows = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(installation.executable), args=["--no-sandbox", "--headless=shell"]
        )
        page = await browser.new_page()
        for count in EVALUATED:
            array = np.random.default_rng(0).random(count, dtype=np.float32)
            floats = array.tolist()
            contestants: dict[str, Contestant] = {
                "evaluate": lambda floats=floats: page.evaluate("x => x", floats),  # type: ignore[misc]
                "ours": lambda array=array: model.run({"x": array}),  # type: ignore[misc]
            }
            times = await take_turns(contestants, rounds=10, runs=2 if quick else 20)
            theirs, cost = median_ms(times["evaluate"]), median_ms(times["ours"])
            rows.append([f"{count:,}", f"{theirs:.3f}", f"{cost:.3f}", f"{theirs / cost:.1f}"])
        await browser.close()
    show(
        "The same floats through Playwright's page.evaluate",
        ["floats", "evaluate p50 ms", "webinfer p50 ms", "times faster"],
        rows,
    )


def across_threads(quick: bool, browser: str) -> None:
    """Show what the synchronous face adds: two changes of thread."""
    array = np.zeros(16, np.float32)
    with Accelerator(browser=browser) as accelerator:
        model = accelerator.load(echo_model(), platform="wasm")
        runs = 100 if quick else 1000
        results = [model.run({"x": array}) for _ in range(runs + 20)][20:]
        inside = sorted(result.times.total for result in results)[runs // 2] * 1e3
        import time

        times = []
        for _ in range(runs):
            began = time.perf_counter()
            model.run({"x": array})
            times.append(time.perf_counter() - began)
        outside = median_ms(times)
    show(
        "The synchronous call, 64 B",
        ["", "p50 ms"],
        [["on the loop", f"{inside:.3f}"], ["as the caller's thread sees it", f"{outside:.3f}"]],
    )


async def main(quick: bool, browser: str) -> None:
    installation = find(browser)  # type: ignore[arg-type]
    async with AsyncAccelerator(browser=browser) as accelerator:
        await against_echo(installation, accelerator, quick)
        if installation.engine == "chromium":
            await against_evaluate(installation, accelerator, quick)


if __name__ == "__main__":
    arguments = parser(__doc__).parse_args()
    print(machine())
    asyncio.run(main(arguments.quick, arguments.browser))
    across_threads(arguments.quick, arguments.browser)
