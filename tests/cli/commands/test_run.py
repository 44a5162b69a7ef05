from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Call

ONES = "x=[1, 1, 1, 1]"
ANSWER = [[0.0, 0.0, 0.0, 4.0]]


@pytest.fixture(autouse=True)
def right_answer() -> None:
    """The probe's weights are -8 ... 7 in rows of four, and its answer is cut off at 0."""
    weights = np.arange(16, dtype=np.float32).reshape(4, 4) - 8
    assert np.maximum(np.ones((1, 4)) @ weights, 0).tolist() == ANSWER


def test_without_inputs_says_what_the_model_takes(call: Call, probe: str) -> None:
    answer = call("run", probe, "--quiet")
    assert (answer.code, answer.out) == (1, "")
    assert "error: input.missing" in answer.err
    assert "x: float32[1, 4]" in answer.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("hello", "--input", ONES), "either text or inputs by name"),
        (("--input", ONES, "--embed"), "it needs text"),
        (("--input", ONES, "--repeat", "0"), "--repeat"),
        (("--input", ONES, "--output", "/nowhere/out.npz"), "the directory /nowhere of out.npz does not exist"),
        (("--input", ONES, "--output", "/"), "is a directory"),
    ],
)
def test_contradictory_arguments_exit_with_2(
    call: Call, probe: str, arguments: tuple[str, ...], complaint: str
) -> None:
    answer = call("run", probe, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert complaint in answer.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("nothing-like-it", "--input", ONES), "model.not_found"),
        (("{probe}", "--input", "x=zz"), "input"),
        (("{probe}", "--npz", "/nowhere.npz"), "input"),
        (("{probe}", "--json-input", "/nowhere.json"), "input"),
        (("{broken}", "--input", ONES), "model.invalid"),
    ],
)
def test_error_of_ours_is_an_object_with_json(
    call: Call, probe: str, tmp_path: Path, arguments: tuple[str, ...], code: str
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"this is no model")
    answer = call("run", *(part.format(probe=probe, broken=broken) for part in arguments), "--json", "--quiet")
    assert answer.code == 1
    assert (answer.object["error"]["code"], answer.err) == (code, "")


@pytest.mark.browser("embedded")
def test_every_kind_of_input_gives_the_same_answer(call: Call, probe: str, embedded: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((1, 4), np.float32))
    np.savez(tmp_path / "x.npz", x=np.ones((1, 4), np.float32))
    (tmp_path / "x.json").write_text('{"x": [[1, 1, 1, 1]]}', encoding="utf-8")
    given = (
        ("--input", ONES),
        ("--input", f"x={tmp_path}/x.npy"),
        ("--npz", f"{tmp_path}/x.npz"),
        ("--json-input", f"{tmp_path}/x.json"),
        ("--json-input", "-"),
    )
    for arguments in given:
        answer = call(
            "run", probe, *arguments, "-b", embedded, "-p", "wasm", "--json", "-q", stdin='{"x": [1, 1, 1, 1]}'
        )
        assert answer.code == 0
        assert answer.object["outputs"]["y"] == {"dtype": "float32", "shape": [1, 4], "values": ANSWER}


@pytest.mark.browser("embedded")
def test_outputs_are_written_and_every_run_is_timed(spawn: Call, probe: str, embedded: str, tmp_path: Path) -> None:
    answer = spawn("run", probe, "-i", ONES, "-b", embedded, "-p", "wasm", "-n", "3", "-o", "y.npz", "--json")
    assert answer.code == 0
    with np.load(tmp_path / "y.npz") as written:
        assert written["y"].tolist() == ANSWER
    told = answer.object
    assert told["outputs"]["y"] == {"dtype": "float32", "shape": [1, 4]}
    assert (told["output"], told["backend"], told["asked"], told["verdict"]) == ("y.npz", "wasm", "wasm", "software")
    assert len(told["runs"]["all"]) == 3
    assert min(told["runs"]["all"]) > 0
    assert set(told["times"]) == {"queue", "wait", "run", "transfer", "total"}
    assert told["load"]["nbytes"] == Path(probe).stat().st_size


@pytest.mark.browser("embedded")
def test_summary_for_people_names_outputs_and_times(spawn: Call, probe: str, embedded: str) -> None:
    answer = spawn("run", probe, "-i", ONES, "-b", embedded, "-p", "wasm")
    assert answer.code == 0
    text = " ".join(answer.out.split())
    assert "y float32 [1, 4] 0, 0, 0, ... 0 4 1" in text
    assert "WebAssembly, as asked" in text
    assert "software: WebAssembly runs on the CPU" in text
    assert "==> " in answer.err
    assert "==> " not in answer.out


@pytest.mark.browser("embedded")
def test_nan_is_an_error_unless_allowed_and_then_null(call: Call, probe: str, embedded: str) -> None:
    arguments = ("run", probe, "-i", "x=[NaN, 1, 1, 1]", "-b", embedded, "-p", "wasm", "--json", "-q")
    refused, allowed = call(*arguments), call(*arguments, "--allow-nan")
    assert (refused.code, refused.object["error"]["code"]) == (1, "output.nan")
    assert allowed.code == 0
    assert None in allowed.object["outputs"]["y"]["values"][0]


@pytest.mark.browser("embedded")
@pytest.mark.timeout(600)
def test_text_gives_one_vector_of_length_1_each(spawn: Call, embedded: str) -> None:
    answer = spawn(
        "run", "wheel:all-MiniLM-L6-v2", "One cat.", "--text", "Two cats.", "--embed", "-b", embedded, "--json"
    )
    assert answer.code == 0
    embedding = answer.object["outputs"]["embedding"]
    assert embedding["shape"] == [2, 384]
    assert np.linalg.norm(embedding["values"], axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert answer.object["weights"] == "real"


@pytest.mark.browser("embedded")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to consoles, not to processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_everything_with_130_and_one_line(probe: str, embedded: str, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "webinfer", "run", probe, "-i", ONES, "-b", embedded, "-n", "100000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        said: list[str] = []
        while not said or said[-1] not in ("==> run\n", ""):
            said.append(process.stderr.readline())
        assert said[-1], f"It ended before it ran: {said}"
        os.kill(process.pid, number)
        assert process.stdout.read() == ""
        assert process.stderr.read().splitlines()[-1] == "Interrupted; nothing is left running."
        assert process.wait() == 130  # that nothing is left is asserted for all tests in tests/conftest.py


@pytest.mark.browser("embedded")
def test_verbose_logs_the_life_cycle_to_stderr_only(spawn: Call, probe: str, embedded: str) -> None:
    answer = spawn("run", probe, "-i", ONES, "-b", embedded, "-p", "wasm", "-v", "--json")
    assert "INFO" in answer.err
    assert "browser b1" in answer.err
    assert json.loads(answer.out)["lane"] == "b1.1"
