"""``webinfer run MODEL RECORDING``: recordings by their paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.recordings import BECKETT, recording

WHISPER = "wheel:whisper-tiny.en"


def test_without_inputs_says_that_recordings_will_do(call: Call) -> None:
    answer = call("run", WHISPER, "--quiet")
    assert "input_features: float32[batch, 80, 3000]" in answer.err
    assert f"takes audio files too: webinfer run {WHISPER} recording.wav" in " ".join(answer.err.split())
    assert "text will do" not in answer.err


@pytest.mark.slow
@pytest.mark.browser("embedded")
def test_recordings_are_given_by_their_paths(call: Call, embedded: str, tmp_path: Path) -> None:
    browser = ("-b", embedded, "-p", "wasm", "-q", "--json", "--output", str(tmp_path / "heard.npz"))
    path = str(recording(BECKETT))
    for given in ((path,), ("--input", f"input_features={path}")):
        told = call("run", WHISPER, *given, *browser).object
        assert told["outputs"]["last_hidden_state"]["shape"] == [1, 1500, 384]
    missing = call("run", WHISPER, "/no/such.wav", *browser)
    assert (missing.code, missing.object["error"]["code"]) == (1, "input.audio")
