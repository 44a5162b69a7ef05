"""The guide's two scripts: its command lines mean something here, and errors are no verdicts."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.compat.models import BERT, build
from webinfer.bench import Matrix, Method, Record
from webinfer.bench.plan import EVERY_BROWSER, SurveyedBrowser, new_record
from webinfer.browsers.discovery.find import find_all
from webinfer.cli.commands.benchmarks import guide
from webinfer.cli.output.terminal import Terminal

ROOT = Path(__file__).parents[3]
TEST, BENCHMARK = "test_ipfs_accelerate_with_real_webnn_webgpu.py", "benchmark_webnn_webgpu_resource_pool.py"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models under the names that the guide's command lines use."""
    root = build(tmp_path_factory.mktemp("models"))
    for name in ("whisper-tiny", "vit-base"):
        shutil.copytree(root / BERT, root / name)
    return root


def ask(line: str, monkeypatch: pytest.MonkeyPatch, models: Path) -> tuple[Matrix, list[str]]:
    """Return what a command line of the guide asks for."""
    monkeypatch.setenv("WEBINFER_MODELS", str(models))
    taken: list[argparse.Namespace] = []
    monkeypatch.setattr(guide, "run", taken.append)
    name, *arguments = line.split()
    with pytest.raises(SystemExit):
        (guide.benchmark_resource_pool if name == BENCHMARK else guide.run_acceleration_test)(arguments)
    return guide.matrix_of(taken[0])


@pytest.mark.parametrize(
    ("line", "named", "platforms"),
    [
        (f"{TEST} --model bert-base-uncased --platform webgpu --browser chrome", (BERT,), ("webgpu",)),
        (f"{TEST} --model whisper-tiny --browser firefox --optimize-audio", ("whisper-tiny",), ("webgpu",)),
        (f"{TEST} --model bert-base-uncased --platform webnn --browser edge", (BERT,), ("webnn",)),
        (f"{TEST} --comprehensive", (BERT, "whisper-tiny", "vit-base"), ("webgpu", "webnn", "wasm")),
        (f"{BENCHMARK} --model bert-base-uncased --platform webgpu", (BERT,), ("webgpu",)),
        (
            f"{BENCHMARK} --concurrent-models 3 --models bert-base-uncased,whisper-tiny,vit-base",
            (BERT, "whisper-tiny", "vit-base"),
            ("webgpu",),
        ),
        (f"{BENCHMARK} --browser firefox --model whisper-tiny --optimize-audio", ("whisper-tiny",), ("webgpu",)),
        (
            f"{BENCHMARK} --comprehensive --db-path ./benchmark_db.duckdb",
            (BERT, "whisper-tiny", "vit-base"),
            ("webgpu", "webnn", "wasm"),
        ),
    ],
)
def test_every_command_line_of_the_guide_is_understood(
    line: str, named: tuple[str, ...], platforms: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, models: Path
) -> None:
    asked, notes = ask(line, monkeypatch, models)
    assert (asked.models, asked.platforms) == (named, platforms)
    if "--comprehensive" in line:
        assert asked.browsers == EVERY_BROWSER
    here = [installation.name for installation in find_all()]
    for name in ("chrome", "edge", "firefox"):
        if f"--browser {name}" in line and here and name not in here:
            assert asked.browsers[0] in here
            assert any(f"{name} is not installed" in note for note in notes)
    if "--optimize-audio" in line:
        assert any("--optimize-audio" in note for note in notes)


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("", "full"),
        ("--precision 16", "fp16"),
        ("--precision 8", "q8"),
        ("--precision 4 --mixed-precision", "q4-mixed"),
        ("--precision 32", "fp32"),
        ("--precision 2", "q2"),
    ],
)
def test_bits_are_precisions(flags: str, precision: str, monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    assert ask(f"{TEST} --model {BERT} {flags}", monkeypatch, models)[0].precisions == (precision,)


@pytest.mark.parametrize("script", [TEST, BENCHMARK])
def test_a_wrong_flag_ends_with_1_and_not_with_the_code_for_software(script: str) -> None:
    done = subprocess.run([sys.executable, str(ROOT / script), "--browser", "netscape"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "netscape" in done.stderr


@pytest.mark.parametrize("begun", [(), ("webgpu",), ("auto",)])
def test_a_script_takes_up_what_was_begun_also_where_that_was_the_browsers_own_choice(
    begun: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, models: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("WEBINFER_MODELS", str(models))
    monkeypatch.setattr("webinfer.bench.run.journals", lambda: tmp_path)
    seen = {name: SurveyedBrowser(name=name, chosen="wasm") for name in ("auto", "embedded")}
    if begun:
        asked = Matrix(models=(BERT,), browsers=("auto",), platforms=begun)
        made = new_record(asked, guide.SHORT, seen, {"headless": True, "audio_shaders": False})
        made.save(tmp_path / f"{made.id}.json")
    taken: list[tuple[Matrix, bool]] = []

    def measure(terminal: Terminal, ask: Matrix, method: Method, **how: Any) -> Record:
        taken.append((ask, how["resume"]))
        none = SurveyedBrowser(name="auto", errors={"webgpu": "there is none"}, chosen="wasm")
        return new_record(ask, method, {"auto": none}, how["options"])

    monkeypatch.setattr(guide, "measure", measure)
    with pytest.raises(SystemExit):
        guide.run_acceleration_test(["--model", BERT, "--resume"])
    platforms = [ask.platforms for ask, _ in taken]
    assert platforms == ([("auto",)] if begun == ("auto",) else [("webgpu",), ("auto",)])
    assert all(resumed for _, resumed in taken)


def test_a_model_that_no_source_has_is_replaced_by_its_architecture_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEBINFER_MODELS", "")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    notes: list[str] = []
    assert guide._model("wav2vec2-ba", notes) == "random:wav2vec2-base"
    assert "random weights" in notes[0]
