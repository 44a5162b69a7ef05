"""Stores, model-like directories, and gateways that behave as badly as they are told to."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from webinfer.models.ipfs.cid import CID
from webinfer.models.ipfs.importer import Importer
from webinfer.models.sources.ipfs.gateway import Patience
from webinfer.models.sources.ipfs.store.block_store import BlockStore


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--evidence``."""
    parser.addoption("--evidence", action="store_true", help="print what each test recorded, as a table")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if not terminalreporter.config.getoption("--evidence", default=False):
        return
    terminalreporter.section("evidence")
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            name = report.nodeid.partition("::")[2]
            for what, told in report.user_properties:
                terminalreporter.write_line(f"{outcome}  {name}  |  {what}: {told}")


HURRIED = Patience(connect=10.0, silence=10.0, head_start=0.05, back_off=0.01, longest=0.05)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ask no Kubo and no gateway of this machine, and share no cache with it."""
    monkeypatch.setenv("WEBINFER_IPFS_API", "")
    monkeypatch.delenv("WEBINFER_IPFS_GATEWAYS", raising=False)
    monkeypatch.setenv("WEBINFER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    """An empty store."""
    return BlockStore(tmp_path / "store")


@pytest.fixture
def source(tmp_path: Path) -> BlockStore:
    """A store that somebody else has."""
    return BlockStore(tmp_path / "source")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory like a model's: a file of several blocks, small ones, an empty one, one deeper."""
    made = random.Random(1)
    path = tmp_path / "model"
    files = {
        "onnx/model.onnx": made.randbytes(3_456_789),
        "config.json": b"{}",
        "empty": b"",
        "onnx/deep/ünï.txt": b"x",
    }
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@pytest.fixture
def root(source: BlockStore, directory: Path) -> CID:
    """The directory's CID, its blocks in ``source``."""
    return Importer(put=source.put).add(directory).cid


def contents(path: Path) -> dict[str, bytes]:
    """Read all files below a directory."""
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def kept(store: BlockStore) -> list[Path]:
    """List the files of a store."""
    return [path for path in store.directory.rglob("*") if path.is_file()] if store.directory.exists() else []


@asynccontextmanager
async def gateway(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Serve whatever the function answers, on the loopback."""
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
