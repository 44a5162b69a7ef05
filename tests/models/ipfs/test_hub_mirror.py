"""``ipfs://CID?hub=ORG/NAME``: what nobody has as blocks is made of a repository's files, and held against the CID."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from tests.hub_server import HubServer
from tests.models.ipfs.conftest import contents, kept
from webinfer.core.errors import FetchError, IntegrityError, ModelNotFound
from webinfer.models.files.content_id import directory_cid, file_cid
from webinfer.models.files.package import ModelPackage
from webinfer.models.ipfs.block import Block
from webinfer.models.ipfs.cid import CID
from webinfer.models.ipfs.dag_pb import decode
from webinfer.models.ipfs.unixfs import resolve as follow
from webinfer.models.sources.ipfs.server import serving
from webinfer.models.sources.ipfs.store.block_store import BlockStore
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.probe import probe_model

GRAPH, WEIGHTS, CONFIG = "onnx/model.onnx", "onnx/model.onnx_data", "config.json"


@pytest.fixture
def model(tmp_path: Path) -> dict[str, Path]:
    """A model with its weights beside the graph, laid out as on the hub."""
    (tmp_path / "published" / "onnx").mkdir(parents=True)
    files = {name: tmp_path / "published" / name for name in (GRAPH, WEIGHTS, CONFIG)}
    graph = onnx.load(probe_model())
    onnx.save(graph, files[GRAPH], save_as_external_data=True, location="model.onnx_data", size_threshold=0)
    files[CONFIG].write_text('{"model_type": "bert"}', encoding="utf-8")
    return files


@pytest.fixture
def hub(tmp_path: Path, model: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub that has it as ``org/twin``, among other files."""
    with HubServer() as server:
        server.use(monkeypatch, tmp_path / "huggingface")
        server.add("org/twin", {**model, "README.md": "Hello.", "pytorch_model.bin": b"\0" * 99})
        yield server


async def opened(reference: str) -> ModelPackage:
    return await asyncio.to_thread(resolve, reference)


def test_directory_that_nobody_has_is_made_of_the_hubs_files(
    hub: HubServer, model: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = directory_cid(model)
    package = resolve(f"ipfs://{cid}?hub=org/twin")
    assert contents(package.model.path.parent.parent) == {name: path.read_bytes() for name, path in model.items()}
    assert package.origin == f"ipfs://{cid}"
    assert hub.files_asked() == sorted(model)
    hub.asked.clear()
    assert resolve(f"ipfs://{cid}").cid == package.cid  # all its blocks are here now
    assert not hub.asked


def test_graph_with_its_weights_and_a_lone_file_are_found_by_their_own_cids(
    hub: HubServer, model: dict[str, Path]
) -> None:
    named = resolve(f"ipfs://{directory_cid(model)}?hub=org/twin").cid  # what every result tells
    package = resolve(f"ipfs://{named}?hub=org/twin")
    assert set(contents(package.model.path.parent)) == {"model.onnx", "model.onnx_data"}
    hub.add("org/lone", {GRAPH: probe_model(), CONFIG: "{}"})
    alone = resolve(f"ipfs://{file_cid(probe_model())}?hub=org/lone")
    assert set(contents(alone.model.path.parent)) == {"model.onnx"}  # the CID names nothing else


async def test_file_that_gateways_lack_comes_from_the_hub_and_the_others_do_not(
    hub: HubServer, model: dict[str, Path], source: BlockStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = CID.parse(directory_cid(model, source.put))
    source.remove(follow(source.get, cid, WEIGHTS)[-1])
    async with serving(source) as url:
        monkeypatch.setenv("WEBINFER_IPFS_GATEWAYS", url)
        with pytest.raises(FetchError, match="is missing"):
            await opened(f"ipfs://{cid}")
        package = await opened(f"ipfs://{cid}?hub=org/twin")
    assert [file.path.read_bytes() for file in package.external] == [model[WEIGHTS].read_bytes()]
    assert hub.files_asked() == [WEIGHTS]


async def test_hub_is_not_asked_for_what_a_gateway_has(
    hub: HubServer, model: dict[str, Path], source: BlockStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = directory_cid(model, source.put)
    async with serving(source) as url:
        monkeypatch.setenv("WEBINFER_IPFS_GATEWAYS", url)
        assert (await opened(f"ipfs://{cid}?hub=org/twin")).config == {"model_type": "bert"}
    assert not hub.asked


@pytest.mark.parametrize("listed", [True, False])
def test_other_contents_on_the_hub_are_refused_and_the_right_revision_is_taken(
    hub: HubServer, model: dict[str, Path], listed: bool
) -> None:
    cid = directory_cid(model)
    if listed:  # the names in it are known, and no file is here
        blocks: list[Block] = []
        directory_cid(model, blocks.append)
        for block in blocks:
            if decode(block.cid, block.data).is_directory:
                BlockStore().put(block)
    hub.add("org/newer", {**model, CONFIG: '{"model_type": "gpt2"}'})
    before = kept(BlockStore())
    with pytest.raises(IntegrityError, match=r"another CID than .*name the revision") as caught:
        resolve(f"ipfs://{cid}?hub=org/newer")
    assert caught.value.data["expected"]
    assert kept(BlockStore()) == before
    assert resolve(f"ipfs://{cid}?hub=org/twin").config == {"model_type": "bert"}


@pytest.mark.parametrize(
    ("hub_name", "why"),
    [
        ("org/nobody", "There is no 'org/nobody' on the hub"),
        ("org/twin@nosuch", "nosuch"),
        ("org/empty", "has no such ONNX file"),
    ],
)
def test_neither_has_it(hub: HubServer, model: dict[str, Path], hub_name: str, why: str) -> None:
    hub.add("org/empty", {"README.md": "Nothing."})
    with pytest.raises(FetchError, match=rf"There is nobody to ask.*The hub cannot help either:.*{why}"):
        resolve(f"ipfs://{directory_cid(model)}?hub={hub_name}")


@pytest.mark.parametrize("query", ["?hub=", "?hub=../up", "?hub=a/b&hub=c/d", "?gateway=x", "?"])
def test_what_names_no_repository_is_refused(query: str) -> None:
    with pytest.raises(ModelNotFound, match="hub="):
        resolve(f"ipfs://{file_cid(probe_model())}{query}")
