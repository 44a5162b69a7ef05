"""What verifying costs: a file fetched by its CID, block by block, beside the same bytes by plain HTTP.

Both come over the loopback from one server in a process of its own, and end on the disk: the plain download in a file,
as one does it with aiohttp, and ours in the store, each block hashed before it has its name. Contestants take turns;
each turn begins with an empty store, and with the server's files in the system's cache.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import aiohttp
from aiohttp import web

from benchmarks.measure import machine, show
from webinfer.models.ipfs.cid import CID
from webinfer.models.ipfs.importer import Importer
from webinfer.models.sources.ipfs.fetch import fetch
from webinfer.models.sources.ipfs.gateway import READ_BUFFER
from webinfer.models.sources.ipfs.server import application
from webinfer.models.sources.ipfs.store.block_store import BlockStore
from webinfer.models.sources.ipfs.store.exporter import write

_PIECE = 1 << 20

Contestant = Callable[[], Awaitable[None]]


async def serve(place: Path) -> None:
    """Serve a directory's store and its plain file until the process is ended; print the port."""
    app = web.Application()
    app.add_subapp("/gateway", application(BlockStore(place / "store")))
    app.router.add_get("/plain", lambda _: asyncio.sleep(0, web.FileResponse(place / "file")))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def served(place: Path) -> AsyncIterator[str]:
    """Start the server in a process of its own, and yield its address."""
    arguments = ("-m", "benchmarks.ipfs", "--serve", str(place))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.terminate()
        await process.wait()


def contestants(place: Path, url: str, root: CID) -> dict[str, Contestant]:
    """Return what is compared; each writes below ``place``, where nothing is yet."""

    async def plain() -> None:
        async with aiohttp.ClientSession(read_bufsize=READ_BUFFER) as session, session.get(f"{url}/plain") as response:
            with (place / "plain").open("wb") as file:
                async for piece in response.content.iter_chunked(_PIECE):
                    file.write(piece)

    async def verified() -> None:
        await fetch(root, "", BlockStore(place / "store"), gateways=[f"{url}/gateway"])

    async def written() -> None:
        await verified()
        await asyncio.to_thread(write, BlockStore(place / "store").get, root, place / "file")

    return {"plain HTTP, to a file": plain, "by its CID, into the store": verified, "the same, and to a file": written}


async def take_turns(place: Path, contestants: Mapping[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """Time each contestant in turn, the first round for nothing; what it wrote is removed outside of its time."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for at in range(rounds + 1):
        for name, fetch_it in contestants.items():
            await asyncio.to_thread(place.mkdir)
            began = time.perf_counter()
            await fetch_it()
            if at:
                times[name].append(time.perf_counter() - began)
            await asyncio.to_thread(shutil.rmtree, place)
    return times


async def main(megabytes: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="webinfer-benchmark-") as name:
        place = Path(name)
        (place / "file").write_bytes(random.Random(1).randbytes(megabytes * 1_000_000))
        store = BlockStore(place / "store")
        root = Importer(put=store.put).add(place / "file").cid
        async with served(place) as url:
            here = place / "fetched"
            times = await take_turns(here, contestants(here, url, root), rounds)
    plain = next(iter(times.values()))
    rows = []
    for what, seconds in times.items():
        ratios = sorted(one / other for one, other in zip(seconds, plain, strict=True))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        rows.append([what, f"{statistics.median(seconds) * 1e3:.0f}", f"{min(seconds) * 1e3:.0f}", spread])
    show(f"{megabytes} MB over the loopback", ["how", "median ms", "best ms", "times plain, turn by turn"], rows)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--megabytes", type=int, default=30, help="size of the file")
    options.add_argument("--rounds", type=int, default=30, help="turns that each contestant has")
    options.add_argument("--quick", action="store_true", help="five turns, to see that it works")
    options.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.serve is not None:
        asyncio.run(serve(arguments.serve))
    else:
        print(machine())
        asyncio.run(main(arguments.megabytes, 5 if arguments.quick else arguments.rounds))
