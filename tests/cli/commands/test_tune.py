"""``webinfer tune``: a contest from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Call
from webinfer.cli.commands.benchmarks.tune import with_browsers
from webinfer.core.errors import OptionError
from webinfer.core.options import Options


@pytest.mark.browser("embedded")
def test_tune_shows_the_winner_its_lead_and_the_standings(spawn: Call, embedded: str, tmp_path: Path) -> None:
    answer = spawn(
        *("tune", "random:bert-tiny", "--browser", embedded, "--platform", "webnn,wasm", "--budget", "15"),
        *("--text", "A typical request."),
    )
    assert answer.code == 0, answer.err
    assert "bert-tiny: " in answer.out
    assert "ms per item" in answer.out
    assert "it won" in answer.out
    assert "webnn in embedded, fp32" in answer.out
    assert "wasm in embedded, fp32" in answer.out
    assert "==> open webnn in embedded, fp32 (0 of 15 s, 2 of 2 are in)" in answer.err


@pytest.mark.browser("embedded")
def test_tune_prints_one_json_object(spawn: Call, embedded: str) -> None:
    answer = spawn("tune", "random:bert-tiny", "-b", embedded, "-p", "wasm", "--budget", "8", "--json", "--quiet")
    assert answer.code == 0, answer.err
    assert answer.object["winner"]["backend"] == "wasm"
    assert answer.object["runner_up"] is None
    assert answer.object["standings"][0]["rounds"] >= 3


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--lanes", "two"), "--lanes takes whole numbers, not 'two'"),
        (("--batch", "auto"), "--batch takes whole numbers, not 'auto'"),
        (("--browser", "netscape"), "browser must be one of"),
    ],
)
def test_tune_refuses_what_cannot_be(call: Call, flags: tuple[str, str], words: str) -> None:
    answer = call("tune", "random:bert-tiny", *flags)
    assert answer.code == 2
    assert words in " ".join(answer.err.split())


def test_several_browsers_are_used_side_by_side() -> None:
    assert with_browsers(Options(), ()) == Options()
    assert with_browsers(Options(), ("firefox",)).browser == "firefox"
    assert with_browsers(Options(), ("embedded", "firefox")).browsers == ("embedded", "firefox")
    assert with_browsers(Options(), ("all",)).browsers == ("all",)
    with pytest.raises(OptionError):
        with_browsers(Options(executable=Path("/chrome")), ("embedded", "firefox"))
