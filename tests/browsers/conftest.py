"""A tiny site that browsers are started at, and fake browsers and tools made of shell scripts."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from aiohttp import web

from webinfer.browsers.discovery.find import Installation, find
from webinfer.browsers.install.download import install_chromium
from webinfer.core.errors import BrowserNotFound
from webinfer.core.options import BrowserName

GRACE = 30.0  # Seconds in which everything must be there, or gone; a busy machine takes its time.

Found = TypeVar("Found")

PAGE = "<!doctype html><script type=module>await fetch('/alive?' + crossOriginIsolated)</script>"
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


async def poll(look: Callable[[], Found]) -> Found:
    """Look again and again until there is something: other processes cannot announce it here."""
    async with asyncio.timeout(GRACE):
        while not (found := look()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


async def survivors(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Return which of the processes still run after some seconds, at once when none does."""

    def alive() -> list[psutil.Process]:
        return [process for process in processes if _is_alive(process)]

    with contextlib.suppress(TimeoutError):
        await poll(lambda: not alive())
    return alive()


def _is_alive(process: psutil.Process) -> bool:
    try:  # A zombie has ended; its parent, here often init, has not asked how.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Site:
    """Serves one page and notices when a browser runs its script.

    Attributes:
        url: The page.
        alive: The query of the script's first request.
    """

    def __init__(self) -> None:
        self.url = ""
        self.alive: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html", headers=ISOLATED)

    async def note(self, request: web.Request) -> web.Response:
        if not self.alive.done():
            self.alive.set_result(request.query_string)
        return web.Response()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.add_routes([web.get("/", site.page), web.get("/alive", site.note)])
    runner = web.AppRunner(app)
    await runner.setup()
    tcp = web.TCPSite(runner, "127.0.0.1", 0)
    await tcp.start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield site
    await runner.cleanup()


@pytest.fixture(scope="session")
def browser() -> Callable[[BrowserName], Installation]:
    """Find a browser, installing the embedded one into the usual cache, or skip the test."""

    def find_or_skip(name: BrowserName) -> Installation:
        if name == "embedded":
            return install_chromium()
        try:
            return find(name)
        except BrowserNotFound as error:
            pytest.skip(str(error))

    return find_or_skip


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write an executable shell script."""

    def write(name: str, body: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty cache directory."""
    directory = tmp_path / "cache"
    directory.mkdir()
    monkeypatch.setenv("WEBINFER_CACHE", str(directory))
    return directory


@pytest.fixture(autouse=True)
def own_temporary_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a temporary directory of its own: browsers of other tests may be running beside it."""
    directory = tempfile.mkdtemp(prefix="wb-")
    monkeypatch.setattr(tempfile, "tempdir", directory)
    monkeypatch.setenv("TMPDIR", directory)
    yield
    shutil.rmtree(directory, ignore_errors=True)
