from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from webinfer.browsers.discovery.find import find
from webinfer.models.files.package import ORIGIN
from webinfer.models.sources import cached
from webinfer.models.sources.resolve import resolve


@pytest.mark.browser("embedded")
def test_installing_again_only_prints_the_path(spawn: Call, embedded: str) -> None:
    path = find("embedded").executable
    answer = spawn("install", "chromium")
    assert (answer.code, answer.out) == (0, f"{path}\n")
    assert "is installed" in answer.err
    assert spawn("install", "--quiet").err == ""
    told = spawn("install", "--json").object
    assert (told["executable"], told["name"]) == (str(path), "embedded")
    assert told["version"].count(".") == 3


def test_only_what_can_be_installed_is_taken(call: Call) -> None:
    assert call("install", "firefox").code == 2


def test_failed_install_is_an_error_of_ours(call: Call, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("webinfer.browsers.discovery.headless_shell.is_supported", lambda: False)
    answer = call("install", "--json")
    assert (answer.code, answer.object["error"]["code"]) == (1, "browser.install")


def test_models_lists_references_that_are_not_here_yet(
    call: Call, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEBINFER_MODELS", raising=False)
    told = call("models", "--json").object
    assert told["cache"] == str(cache)
    ready = {model["reference"]: model["ready"] for model in told["models"]}
    assert ready["wheel:all-MiniLM-L6-v2"] is False
    assert ready["random:bert-base-uncased"] is False


def test_models_describes_those_in_the_named_directories(
    call: Call, cache: Path, probe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    shutil.copy(probe, shelf / "mine.onnx")
    (shelf / "bad.onnx").write_bytes(b"this is no model")
    monkeypatch.setenv("WEBINFER_MODELS", str(shelf))
    entries = {model["reference"]: model for model in call("models", "--json").object["models"]}
    assert entries["mine"]["ready"] is True
    assert (entries["mine"]["weights"], entries["mine"]["tokenizer"]) == ("real", False)
    assert entries["mine"]["nbytes"] == Path(probe).stat().st_size
    assert entries["bad"]["error"]["code"] == "model.invalid"
    text = call("models").out
    assert "mine" in text
    assert "broken" in text


def test_a_prepared_model_belongs_to_the_longest_name_that_fits(cache: Path) -> None:
    for name in ("bert-1", "bert-tiny-1"):
        (cache / "models" / "random" / name).mkdir(parents=True)
        (cache / "models" / "random" / name / ORIGIN).write_text("{}", encoding="utf-8")
    ready = cached.prepared(["random:bert-tiny", "random:bert", "wheel:bert"])
    assert {reference: path.name for reference, path in ready.items()} == {
        "random:bert": "bert-1",
        "random:bert-tiny": "bert-tiny-1",
    }


def test_a_built_model_is_listed_as_ready(call: Call, cache: Path) -> None:
    built = resolve("random:bert-tiny")
    entries = {model["reference"]: model for model in call("models", "--json").object["models"]}
    assert entries["random:bert-tiny"]["sha256"] == built.sha256
    assert entries["random:bert-tiny"]["weights"] == "random"


def test_a_built_model_is_removed_and_its_neighbour_stays(call: Call, cache: Path) -> None:
    built, other = resolve("random:gpt2-tiny"), resolve("random:bert-tiny")
    shown = call("models").out
    assert "text generation" in shown
    assert built.cid[-6:] in shown
    removed = call("models", "rm", "random:gpt2-tiny", "--json").object["removed"]
    assert removed[0]["reference"] == "random:gpt2-tiny"
    assert removed[0]["nbytes"] >= built.nbytes
    assert not built.model.path.exists()
    assert other.model.path.exists()
    again = call("models", "rm", "random:gpt2-tiny")
    assert again.code == 1
    assert "is in no cache. There is: random:bert-tiny" in " ".join(again.err.split())


def test_files_of_ones_own_are_not_removed(
    call: Call, cache: Path, probe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(probe, tmp_path / "mine.onnx")
    monkeypatch.setenv("WEBINFER_MODELS", str(tmp_path))
    for name in ("mine", str(tmp_path / "mine.onnx")):
        answer = call("models", "rm", name, "--json")
        assert (answer.code, answer.object["error"]["code"]) == (1, "model.not_found")
    assert (tmp_path / "mine.onnx").exists()


def test_a_model_by_its_hash_goes_with_its_own_blocks_only(call: Call, cache: Path, probe: str, tmp_path: Path) -> None:
    roots = []
    for name in ("one", "two"):
        directory = tmp_path / name
        directory.mkdir()
        shutil.copy(probe, directory / "model.onnx")  # in both
        (directory / "config.json").write_text(f'{{"name": "{name}"}}')
        roots.append(call("ipfs", "add", str(directory)).out.strip())
    one, two = (resolve(f"ipfs://{root}") for root in roots)
    assert f"ipfs://{roots[0]}" in {entry["reference"] for entry in call("models", "--json").object["models"]}
    assert call("models", "rm", f"ipfs://{roots[0]}").code == 0
    assert not one.model.path.exists()
    assert call("ipfs", "verify", roots[0]).code == 1
    assert call("ipfs", "verify", roots[1], "--json").object["whole"] is True
    assert resolve(f"ipfs://{roots[1]}").cid == two.cid
