"""Models come from the hub: the right files, verified, once, through the cache that others share."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants, try_to_load_from_cache
from onnx import numpy_helper

from tests.hub_server import COMMIT, HubServer
from tests.modelfiles import Write
from webinfer.accuracy.native import run_native
from webinfer.core.errors import FetchError, InvalidModel, ModelNotFound, OptionError
from webinfer.core.progress import Progress
from webinfer.models.files.package import ModelPackage
from webinfer.models.sources import hub as hub_source
from webinfer.models.sources.hub import HubReference
from webinfer.models.sources.resolve import resolve

BERT = json.dumps({"model_type": "bert"})


@pytest.fixture
def model(write: Write) -> bytes:
    return write("made/model.onnx").read_bytes()


@pytest.fixture
def external(write: Write, tmp_path: Path) -> dict[str, bytes]:
    """A model with its weights in a file beside it."""
    weights = numpy_helper.from_array(np.arange(64, dtype=np.float32), "w")

    def made(location: str) -> bytes:
        from onnx import helper

        path = write(
            f"{location}/model.onnx",
            nodes=[helper.make_node("Add", ["x", "w"], ["y"])],
            initializers=[weights],
            save_as_external_data=True,
            location=location,
            size_threshold=0,
        )
        return path.read_bytes()

    return {name: made(name) for name in ("model.onnx_data", "model.onnx.data", "weights.bin")}


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def unplug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the port "discard", where nothing listens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/name", HubReference("org/name")),
        ("name", HubReference("name")),
        ("org/name@v1.0", HubReference("org/name", "v1.0")),
        ("org/name@refs/pr/3", HubReference("org/name", "refs/pr/3")),
        ("org/name/onnx/encoder_model.onnx", HubReference("org/name", None, "onnx/encoder_model.onnx")),
        ("org/name@main/onnx/model.onnx", HubReference("org/name", "main", "onnx/model.onnx")),
        ("bert.onnx", None),
        ("/org/name", None),
        ("../name", None),
        ("org/name@../../secret", None),
        ("org/name/more", None),
        ("org--name/x", None),
        ("a b", None),
        ("n" * 97, None),
        ("", None),
    ],
)
def test_references_are_read(text: str, expected: HubReference | None) -> None:
    assert HubReference.parse(text) == expected


def test_plain_references_that_look_like_files_are_paths() -> None:
    assert HubReference.parse("models/bert/model.onnx", plain=True) is None
    assert HubReference.parse("org/name@main", plain=True) == HubReference("org/name", "main")


def test_only_what_is_needed_is_fetched(hub: HubServer, model: bytes) -> None:
    needed: dict[str, bytes | str] = {
        "onnx/model.onnx": model,
        "config.json": BERT,
        "tokenizer.json": "{}",
        "preprocessor_config.json": "{ }",
    }
    hub.add("org/bert", {**needed, "onnx/model_q4.onnx": b"q4", "model.safetensors": b"st", "README.md": "# Hi"})
    package = resolve("org/bert")
    assert hub.files_asked() == sorted(needed)
    assert sum("/api/" in one.path for one in hub.asked) == 1
    assert (package.name, package.reference) == ("org/bert", "org/bert")
    assert package.origin == f"hf:org/bert@{COMMIT}"
    assert package.available == ("fp32", "q4")
    assert package.config == {"model_type": "bert"}
    assert package.tokenizer is not None
    assert package.model.path.read_bytes() == model


def test_second_time_asks_for_the_list_and_no_file(hub: HubServer, model: bytes) -> None:
    hub.add("org/bert", {"onnx/model.onnx": model, "config.json": BERT})
    first = resolve("org/bert")
    hub.asked.clear()
    steps: list[Progress] = []
    assert resolve("hf:org/bert", progress=steps.append).sha256 == first.sha256
    assert [one.path for one in hub.asked] == ["/api/models/org/bert/revision/main"]
    assert steps == []


def test_progress_counts_the_bytes_of_all_files(hub: HubServer, model: bytes) -> None:
    hub.add("org/bert", {"onnx/model.onnx": model, "config.json": BERT, "tokenizer.json": "{}" * 5000})
    steps: list[Progress] = []
    resolve("org/bert", progress=steps.append)
    total = len(model) + len(BERT) + 10_000
    assert {(step.stage, step.total) for step in steps} == {("fetch org/bert", total)}
    assert (steps[0].done, steps[-1].done) == (0, total)
    assert [step.done for step in steps] == sorted(step.done for step in steps)


def test_cache_is_shared_with_other_users_of_the_library(hub: HubServer, model: bytes) -> None:
    from huggingface_hub import hf_hub_download

    hub.add("org/bert", {"onnx/model.onnx": model, "config.json": BERT})
    theirs = hf_hub_download("org/bert", "onnx/model.onnx", endpoint=hub.url, cache_dir=constants.HF_HUB_CACHE)
    hub.asked.clear()
    assert resolve("org/bert").model.path == Path(theirs)
    assert hub.files_asked() == ["config.json"]
    assert try_to_load_from_cache("org/bert", "config.json", cache_dir=constants.HF_HUB_CACHE)


@pytest.mark.parametrize(
    ("precision", "file"),
    [
        (None, "model"),
        ("fp32", "model"),
        ("fp16", "model_fp16"),
        ("q8", "model_quantized"),
        ("int8", "model_int8"),
        ("uint8", "model_uint8"),
        ("q4", "model_q4"),
        ("q4f16", "model_q4f16"),
        ("bnb4", "model_bnb4"),
        ("q2", "model_q2"),
    ],
)
def test_precision_chooses_the_file(hub: HubServer, model: bytes, precision: str | None, file: str) -> None:
    ends = ("", "_fp16", "_quantized", "_int8", "_uint8", "_q4", "_q4f16", "_bnb4", "_q2")
    hub.add("org/bert", {f"onnx/model{end}.onnx": model for end in ends})
    package = resolve("org/bert", precision=precision)
    assert package.model.name == f"{file}.onnx"
    assert hub.files_asked() == [f"onnx/{file}.onnx"]
    assert len(package.available) == len(ends)


def test_missing_precision_names_those_there_are(hub: HubServer, model: bytes) -> None:
    hub.add("org/bert", {"onnx/model.onnx": model, "onnx/model_fp16.onnx": model})
    with pytest.raises(ModelNotFound, match=r"no q4: org/bert has fp32, fp16\. Choose one"):
        resolve("org/bert", precision="q4")
    with pytest.raises(OptionError, match=r"precision must be one of fp32, .*'q5'"):
        resolve("org/bert", precision="q5")


def test_parts_of_a_model_are_named_when_it_is_in_several(hub: HubServer, model: bytes) -> None:
    hub.add("org/whisper", {"onnx/encoder_model.onnx": model, "onnx/decoder_model.onnx": model, "config.json": BERT})
    with pytest.raises(ModelNotFound, match=r"name a file: 'hf:org/whisper/onnx/decoder_model.onnx'"):
        resolve("org/whisper")
    package = resolve("hf:org/whisper/onnx/encoder_model.onnx")
    assert package.model.name == "encoder_model.onnx"
    assert package.config == {"model_type": "bert"}


def test_a_part_of_a_model_is_fetched_alone_in_its_precision(hub: HubServer, model: bytes) -> None:
    names = ("encoder_model", "decoder_model_merged", "decoder_model", "decoder_model_merged_quantized")
    hub.add("org/whisper", {f"onnx/{name}.onnx": model for name in names} | {"config.json": BERT})
    package = resolve("org/whisper", part="decoder_model_merged", precision="q8")
    assert package.model.name == "decoder_model_merged_quantized.onnx"
    assert (package.available, package.parts) == (("fp32", "q8"), ("encoder_model", "decoder_model_merged"))
    assert hub.files_asked() == ["config.json", "onnx/decoder_model_merged_quantized.onnx"]
    assert resolve("org/whisper").model.name == "encoder_model.onnx"
    with pytest.raises(ModelNotFound, match=r"has no vision_model\.onnx"):
        resolve("org/whisper", part="vision_model")


def test_a_lone_file_of_any_name_is_the_model(hub: HubServer, model: bytes) -> None:
    hub.add("org/net", {"net.onnx": model})
    assert resolve("org/net").model.name == "net.onnx"


@pytest.mark.parametrize("location", ["model.onnx_data", "model.onnx.data", "weights.bin"])
def test_external_data_comes_along(hub: HubServer, external: dict[str, bytes], location: str) -> None:
    weights = np.arange(64, dtype=np.float32)
    hub.add("org/big", {"onnx/model.onnx": external[location], f"onnx/{location}": weights.tobytes()})
    package = resolve("org/big")
    assert [file.name for file in package.external] == [location]
    answer = run_native(package, {"x": np.ones(64, np.float32)})["y"]
    np.testing.assert_array_equal(answer, weights + 1)


def test_missing_external_data_is_told(hub: HubServer, external: dict[str, bytes]) -> None:
    hub.add("org/big", {"onnx/model.onnx": external["weights.bin"]})
    with pytest.raises(InvalidModel, match=r"'weights\.bin', which is missing"):
        resolve("org/big")


def test_revision_is_fetched_and_remembered(hub: HubServer, model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/bert", {"model.onnx": model}, branches={"v1": "1" * 40})
    assert resolve("org/bert@v1").origin == f"hf:org/bert@{'1' * 40}"
    with pytest.raises(ModelNotFound, match=r"no revision 'v2': .*/org/bert/tree/main shows"):
        resolve("org/bert@v2")
    offline(monkeypatch)
    assert resolve("org/bert@v1").model.nbytes == len(model)
    assert resolve(f"org/bert@{'1' * 40}").model.nbytes == len(model)


def test_renamed_repository_is_followed(hub: HubServer, model: bytes) -> None:
    hub.add("google-bert/bert-base-uncased", {"onnx/model.onnx": model})
    hub.renamed["bert-base-uncased"] = "google-bert/bert-base-uncased"
    assert resolve("bert-base-uncased").name == "bert-base-uncased"


def test_token_is_sent_to_the_hub_and_not_to_its_cdn(
    hub: HubServer, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("me/private", {"model.onnx": model}, token="hf_secret")
    with pytest.raises(ModelNotFound, match=r"No model 'me/private'.*if it is private, log in with 'hf auth login'"):
        resolve("me/private")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.asked.clear()
    assert resolve("me/private").model.nbytes == len(model)
    assert {one.token for one in hub.asked if not one.cdn} == {"hf_secret"}
    assert {one.token for one in hub.asked if one.cdn} == {None}


# Conversions


@pytest.mark.parametrize("where", ["Xenova/minilm", "onnx-community/minilm", "onnx-community/minilm-ONNX"])
def test_name_without_onnx_is_taken_from_its_conversion(hub: HubServer, model: bytes, where: str) -> None:
    hub.add("org/minilm", {"model.safetensors": b"st", "config.json": BERT})
    hub.add(where, {"onnx/model.onnx": model}, bases=["org/minilm"])
    package = resolve("org/minilm")
    assert (package.name, package.origin) == ("org/minilm", f"hf:{where}@{COMMIT}")


def test_conversion_of_another_model_of_that_name_is_not_taken(hub: HubServer, model: bytes) -> None:
    hub.add("somebody/minilm", {"model.safetensors": b"finetuned"})
    hub.add("Xenova/minilm", {"onnx/model.onnx": model}, bases=["org/minilm"])
    with pytest.raises(ModelNotFound, match="no conversion of it"):
        resolve("somebody/minilm")
    hub.asked.clear()
    with pytest.raises(ModelNotFound, match="No model 'private/minilm'"):
        resolve("private/minilm")
    assert [one.path for one in hub.asked] == ["/api/models/private/minilm/revision/main"]


def test_bare_name_is_found_among_the_conversions(hub: HubServer, model: bytes) -> None:
    hub.add("Xenova/minilm", {"onnx/model.onnx": model}, bases=["org/minilm"])
    assert resolve("minilm").origin.startswith("hf:Xenova/minilm@")


def test_conversion_is_found_again_without_the_hub(
    hub: HubServer, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/minilm", {"model.safetensors": b"st"})
    card = "---\nbase_model: org/minilm\n---\n# ONNX\n"
    hub.add("Xenova/minilm", {"onnx/model.onnx": model, "README.md": card}, bases=["org/minilm"])
    origin = resolve("org/minilm").origin
    offline(monkeypatch)
    assert resolve("org/minilm").origin == origin


def test_precision_that_only_the_conversion_has_is_taken_from_there(hub: HubServer, model: bytes) -> None:
    hub.add("org/minilm", {"onnx/model.onnx": model})
    hub.add("Xenova/minilm", {"onnx/model_q4.onnx": model}, bases=["org/minilm"])
    assert resolve("org/minilm", precision="q4").origin.startswith("hf:Xenova/minilm@")
    assert resolve("org/minilm").origin.startswith("hf:org/minilm@")


def test_model_without_onnx_anywhere_says_how_to_export_it(hub: HubServer) -> None:
    hub.add("org/new", {"model.safetensors": b"st", "config.json": BERT})
    with pytest.raises(ModelNotFound, match=r"optimum-cli export onnx --model org/new new_onnx, and load .* new_onnx"):
        resolve("org/new")
    assert hub.files_asked() == []


# Where it is looked


def test_directories_of_models_come_before_the_hub(
    hub: HubServer, write: Write, tmp_path: Path, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/bert", {"model.onnx": model})
    local = write("shelf/org/bert/model.onnx")
    monkeypatch.setenv("WEBINFER_MODELS", str(tmp_path / "shelf"))
    assert resolve("org/bert").model.path == local
    assert hub.asked == []
    assert resolve("hf:org/bert").origin.startswith("hf:")


def test_unknown_names_tell_all_places_and_near_names(hub: HubServer, model: bytes) -> None:
    hub.add("org/bert-tiny-2", {"model.onnx": model})
    resolve("org/bert-tiny-2")
    with pytest.raises(ModelNotFound, match="Did you mean") as caught:
        resolve("bert-tiny-3")
    assert "hf:org/bert-tiny-2" in caught.value.data["near"]
    assert any(f"{hub.url}/bert-tiny-3" in place for place in caught.value.data["tried"])
    with pytest.raises(ModelNotFound, match=r"is not \[ORG/\]NAME"):
        resolve("hf:a/b/c")


def test_paths_are_not_asked_of_the_hub(hub: HubServer) -> None:
    for path in ("no/such/model.onnx", "./name", "../name", "/no/name", "name.onnx"):
        with pytest.raises(ModelNotFound):
            resolve(path)
    assert hub.asked == []


def test_cached_models_can_be_listed(hub: HubServer, model: bytes) -> None:
    hub.add("org/bert", {"onnx/model.onnx": model})
    assert hub_source.names() == []
    resolve("org/bert")
    assert hub_source.names() == ["org/bert"]


# Without the hub


def test_offline_mode_takes_what_is_in_the_cache(hub: HubServer, model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/bert", {"onnx/model.onnx": model, "config.json": BERT})
    online = resolve("org/bert")
    offline(monkeypatch)
    hub.asked.clear()
    assert resolve("org/bert") == online
    assert hub.asked == []


def test_offline_mode_without_the_model_says_what_to_do(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch)
    with pytest.raises(FetchError, match=r"HF_HUB_OFFLINE forbids.*webinfer pull hf:org/bert"):
        resolve("org/bert")
    with pytest.raises(ModelNotFound, match="HF_HUB_OFFLINE"):
        resolve("bert")
    assert hub.asked == []


def test_unreachable_hub_falls_back_to_the_cache(
    hub: HubServer, model: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hub.add("org/bert", {"onnx/model.onnx": model})
    online = resolve("org/bert")
    unplug(monkeypatch)
    with caplog.at_level(logging.WARNING, "webinfer"):
        assert resolve("org/bert").sha256 == online.sha256
    assert "What is in the cache is used" in caplog.text


def test_unreachable_hub_is_named_with_what_to_do(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    unplug(monkeypatch)
    with pytest.raises(FetchError, match=r"127\.0\.0\.1:9 could not be reached for 'org/bert'.*HF_ENDPOINT"):
        resolve("org/bert")
    with pytest.raises(ModelNotFound, match=r"No model 'bert'.*could not be reached"):
        resolve("bert")


def test_part_of_a_model_in_the_cache_is_not_taken_for_all(
    hub: HubServer, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import hf_hub_download

    hub.add("org/bert", {"onnx/model.onnx": model, "config.json": BERT})
    hf_hub_download("org/bert", "config.json", endpoint=hub.url, cache_dir=constants.HF_HUB_CACHE)
    offline(monkeypatch)
    with pytest.raises(FetchError, match=r"in the cache of 'org/bert' has no ONNX model"):
        resolve("org/bert")


def test_environment_is_honoured_and_two_processes_may_pull_one_model(
    hub: HubServer, model: bytes, tmp_path: Path
) -> None:
    hub.add("org/bert", {"onnx/model.onnx": model, "config.json": BERT, "tokenizer.json": "{}" * 100_000})
    environment = {**os.environ, **hub.environment(tmp_path / "home"), "WEBINFER_CACHE": str(tmp_path / "ours")}
    environment["HF_TOKEN"] = "hf_mine"
    command = [
        sys.executable,
        "-c",
        "from webinfer.models.sources.resolve import resolve; print(resolve('org/bert').sha256)",
    ]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0], answers
    assert len({out for out, _ in answers}) == 1
    assert {one.token for one in hub.asked if not one.cdn} == {"hf_mine"}
    kept = list((tmp_path / "home" / "hub").rglob("model.onnx"))
    assert [path.read_bytes() for path in kept] == [model]
    assert not list((tmp_path / "home").rglob("*.incomplete"))


def test_library_is_not_imported_before_it_is_needed(probe_package: ModelPackage) -> None:
    code = (
        "import sys, webinfer, webinfer.cli; from webinfer.models.sources.resolve import resolve; "
        f"resolve({str(probe_package.model.path)!r}); print('huggingface_hub' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.fixture
def probe_package(write: Write) -> ModelPackage:
    return resolve(write("probe.onnx"))
