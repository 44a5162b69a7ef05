"""With --log-json standard error is JSON lines, from the first event to the error that ends a command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Answer, Call
from webinfer.cli.output.terminal import FAILED, FINE

INPUT = ("--input", "x=[[1, 2, 3, 4]]")


def lines(answer: Answer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.err.splitlines()]


def test_life_cycle_is_records_with_fields_of_their_own(call: Call, embedded: str, probe: str) -> None:
    answer = call("run", probe, *INPUT, "--browser", embedded, "--platform", "wasm", "--json", "--log-json")
    assert answer.code == FINE
    assert answer.object["model"]
    told = {line["event"]: line for line in lines(answer) if "event" in line}
    assert told["browser_started"]["browser_name"] == embedded
    assert told["browser_started"]["pid"] != told["browser_started"]["browser"]
    assert told["lane_started"]["lane"] == told["session_loaded"]["lane"] == "b1.1"
    assert (told["session_loaded"]["backend"], told["session_loaded"]["precision"]) == ("wasm", "fp32")
    assert told["session_loaded"]["seconds"] > 0


def test_error_is_the_last_line_and_the_environment_asks_for_it(
    call: Call, broken_browser: Path, probe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBINFER_LOG_JSON", "1")
    answer = call("run", probe, *INPUT, "--executable", str(broken_browser))
    assert answer.code == FAILED
    refused = [line for line in lines(answer) if line.get("event") == "browser_refused"]
    assert refused
    assert {line["code"] for line in refused} == {lines(answer)[-1]["error"]["code"]}
    assert lines(answer)[-1]["level"] == "ERROR"


def test_quiet_leaves_errors_alone(call: Call, broken_browser: Path, probe: str) -> None:
    answer = call("run", probe, *INPUT, "--executable", str(broken_browser), "--log-json", "--quiet")
    assert [line["level"] for line in lines(answer)] == ["ERROR"]
