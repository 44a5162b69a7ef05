"""Models named ``ipfs://CID[/path]``."""

from __future__ import annotations

import asyncio
import io
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.models.ipfs.conftest import contents, kept
from webinfer.core.cache import cache_dir
from webinfer.core.errors import FetchError, InvalidModel, ModelNotFound
from webinfer.models.files.package import ModelPackage
from webinfer.models.ipfs.cid import CID
from webinfer.models.ipfs.importer import Importer
from webinfer.models.ipfs.unixfs import resolve as follow
from webinfer.models.sources.ipfs.server import serving
from webinfer.models.sources.ipfs.source import fetched, parse
from webinfer.models.sources.ipfs.store.block_store import BlockStore
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.probe import probe_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory with a model that runs, laid out as on the hub."""
    path = tmp_path / "published"
    (path / "onnx").mkdir(parents=True)
    (path / "onnx" / "model.onnx").write_bytes(probe_model().read_bytes())
    (path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    return path


@pytest.fixture
def cid(source: BlockStore, model: Path) -> CID:
    """Its CID, its blocks in ``source``."""
    return Importer(put=source.put).add(model).cid


@pytest.fixture
async def served(source: BlockStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A gateway over ``source``, which is the usual one."""
    async with serving(source) as url:
        monkeypatch.setenv("WEBINFER_IPFS_GATEWAYS", url)
        yield url


async def opened(reference: str) -> ModelPackage:
    return await asyncio.to_thread(resolve, reference)


async def test_model_is_fetched_opened_and_then_here(
    cid: CID, model: Path, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = await opened(f"ipfs://{cid}")
    assert package.model.path.read_bytes() == (model / "onnx" / "model.onnx").read_bytes()
    assert package.config == {"model_type": "bert"}
    assert package.sha256 == resolve(model).sha256
    assert package.cached is False
    monkeypatch.delenv("WEBINFER_IPFS_GATEWAYS")
    again = await opened(f"ipfs://{cid}")
    assert (again.model.path, again.cached, again) == (package.model.path, True, package)
    assert resolve(model).cached is None
    assert list(fetched()) == [f"ipfs://{cid}"]


async def test_path_names_a_directory_or_a_model_file(cid: CID, served: str) -> None:
    assert (await opened(f"ipfs://{cid}/onnx")).model.name == "model.onnx"
    package = await opened(f"ipfs://{cid}/onnx/model.onnx")
    assert package.config == {"model_type": "bert"}


async def test_lone_file_is_a_model(cid: CID, source: BlockStore, served: str) -> None:
    file = follow(source.get, cid, "onnx/model.onnx")[-1]
    package = await opened(f"ipfs://{file}")
    assert package.signature.inputs
    assert (package.origin, package.cached) == (f"ipfs://{file}", False)


@pytest.mark.parametrize("shard_above", [1 << 18, 10])
async def test_only_what_a_precision_needs_is_fetched(
    source: BlockStore, model: Path, served: str, monkeypatch: pytest.MonkeyPatch, shard_above: int
) -> None:
    made = random.Random(2)
    whole = onnx.load(model / "onnx" / "model.onnx")
    onnx.save(whole, model / "onnx" / "model_fp16.onnx", save_as_external_data=True, location="half", size_threshold=0)
    (model / "pytorch_model.bin").write_bytes(made.randbytes(3 << 20))
    (model / "labels.txt").write_text("cat\ndog\n")
    cid = Importer(put=source.put, shard_above=shard_above).add(model).cid
    package = await opened(f"ipfs://{cid}")
    place = package.model.path.parent.parent
    assert set(contents(place)) == {"onnx/model.onnx", "config.json", "labels.txt", "onnx/half"}  # the last is small
    assert not any(path.stat().st_size >= 1 << 20 for path in kept(BlockStore()))
    assert package.available == ("fp32", "fp16")
    assert package.origin == f"ipfs://{cid}"
    half = await asyncio.to_thread(resolve, f"ipfs://{cid}", precision="fp16")
    assert (half.model.name, [file.name for file in half.external]) == ("model_fp16.onnx", ["half"])
    assert half.cid != package.cid
    with pytest.raises(ModelNotFound, match="no model in q4, only fp32, fp16"):
        await asyncio.to_thread(resolve, f"ipfs://{cid}", precision="q4")
    monkeypatch.delenv("WEBINFER_IPFS_GATEWAYS")
    shutil.rmtree(BlockStore().directory)
    again = await opened(f"ipfs://{cid}")
    assert (again.sha256, again.origin, again.cached) == (package.sha256, package.origin, True)


async def test_weights_beside_the_graph_are_fetched_with_it(source: BlockStore, model: Path, served: str) -> None:
    whole = onnx.load(model / "onnx" / "model.onnx")
    path = model / "onnx" / "model.onnx"
    path.unlink()
    (path.parent / "deep").mkdir()
    large = onnx.numpy_helper.from_array(np.zeros((1 << 19,), np.float32), "unused")  # more than comes by itself
    whole.graph.initializer.append(large)
    onnx.save(whole, path, save_as_external_data=True, location="deep/weights", size_threshold=9)
    cid = Importer(put=source.put).add(model).cid
    package = await opened(f"ipfs://{cid}")
    assert [file.name for file in package.external] == ["deep/weights"]
    assert package.sha256 == resolve(model).sha256


@pytest.mark.parametrize("lone", [False, True])
async def test_file_that_was_changed_after_it_was_written_is_written_again(
    cid: CID, source: BlockStore, model: Path, served: str, monkeypatch: pytest.MonkeyPatch, lone: bool
) -> None:
    target = follow(source.get, cid, "onnx/model.onnx")[-1] if lone else cid
    package = await opened(f"ipfs://{target}")
    whole = onnx.load(package.model.path)
    whole.doc_string = "another model"
    onnx.save(whole, package.model.path)
    assert package.model.path.read_bytes() != (model / "onnx" / "model.onnx").read_bytes()
    monkeypatch.delenv("WEBINFER_IPFS_GATEWAYS")  # the blocks are here
    again = await opened(f"ipfs://{target}")
    assert again.model.path.read_bytes() == (model / "onnx" / "model.onnx").read_bytes()
    assert (again.sha256, again.cid) == (package.sha256, package.cid)


async def test_file_that_was_changed_is_not_used_when_nobody_has_its_blocks(
    cid: CID, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = await opened(f"ipfs://{cid}")
    (package.model.path.parent.parent / "config.json").write_text("{}")
    monkeypatch.delenv("WEBINFER_IPFS_GATEWAYS")
    shutil.rmtree(BlockStore().directory)
    with pytest.raises(FetchError, match="WEBINFER_IPFS_GATEWAYS"):
        await opened(f"ipfs://{cid}")


async def test_reference_works_inside_a_running_loop(cid: CID, source: BlockStore) -> None:
    shutil.copytree(source.directory, BlockStore().directory)
    assert resolve(f"ipfs://{cid}").signature.inputs


@pytest.mark.parametrize("reference", ["ipfs://", "ipfs://nonsense", "ipfs://bafkqaaa/../x", "ipfs://k51qzi5uqu5d"])
def test_reference_that_names_nothing_is_a_typed_error(reference: str) -> None:
    with pytest.raises(ModelNotFound):
        resolve(reference)


def test_nobody_to_ask_is_told(cid: CID) -> None:
    with pytest.raises(FetchError, match="WEBINFER_IPFS_GATEWAYS"):
        resolve(f"ipfs://{cid}")
    assert not fetched()


def test_what_is_no_model_is_a_typed_error() -> None:
    text = Importer(put=BlockStore().put).file(io.BytesIO(b"not ONNX"))
    with pytest.raises(InvalidModel):
        resolve(f"ipfs://{text.cid}")


def test_prefixes_of_a_reference_are_understood(cid: CID) -> None:
    for text in (f"{cid}/a/b", f"ipfs://{cid}/a/b", f"/ipfs/{cid}/a/b", f"ipfs://{cid}/a//b/", f"{cid}/%61/b"):
        assert parse(text) == (cid, "a/b")


async def test_two_processes_fetch_one_model(cid: CID, served: str, model: Path) -> None:
    program = (
        "import sys; from webinfer.models.sources.resolve import resolve; "
        "sys.stdin.read(); print(resolve(sys.argv[1]).sha256)"
    )

    def run() -> list[str]:
        command = [sys.executable, "-c", program, f"ipfs://{cid}"]
        processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
        ]
        return [process.communicate("")[0].strip() for process in processes]

    assert await asyncio.to_thread(run) == [resolve(model).sha256] * 2
    assert [path.name for path in (cache_dir() / "ipfs" / "models").glob("b*")] == [str(cid)]
