from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Call
from webinfer.browsers.discovery.find import Installation
from webinfer.cli.commands.doctor import missing_browsers, options_for
from webinfer.core.options import Options


def test_broken_browser_is_reported_with_its_last_words(call: Call, broken_browser: Path) -> None:
    answer = call("doctor", "--executable", str(broken_browser), "--json")
    assert answer.code == 1
    (browser,) = answer.object["browsers"]
    assert (browser["name"], browser["version"], browser["source"]) == ("firefox", "1.0", "explicit")
    assert browser["error"]["code"] == "browser.launch"
    assert "out of luck" in browser["error"]["message"]
    assert (browser["backends"], browser["capabilities"]) == ({}, None)


def test_broken_browser_is_shown_to_people(call: Call, broken_browser: Path) -> None:
    answer = call("doctor", "--executable", str(broken_browser), "--quiet")
    assert answer.err == ""
    assert "Firefox 1.0" in answer.out
    assert "Broken" in answer.out
    assert "No backend works in any browser." in answer.out


def test_program_that_is_no_browser_is_an_error(call: Call) -> None:
    answer = call("doctor", "--executable", "/bin/ls")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("error: browser.not_found\n")


def test_absent_browsers_come_with_how_to_get_them() -> None:
    there = [Installation("firefox", "firefox", Path("/usr/bin/firefox"), "system")]
    ways = missing_browsers(there)
    assert "firefox" not in ways
    assert ways["embedded"] == "webinfer install chromium"


def test_only_an_explicit_browser_is_started_by_its_path() -> None:
    path = Path("/usr/bin/firefox")
    found = options_for(Installation("firefox", "firefox", path, "system"), Options(launch_timeout=7))
    assert (found.browser, found.executable, found.launch_timeout) == ("firefox", None, 7)
    assert options_for(Installation("firefox", "firefox", path, "explicit"), Options()).executable == path


@pytest.mark.browser
@pytest.mark.parametrize(
    ("browser", "working"),
    [
        ("embedded", "webgpu webnn wasm"),
        ("chromium", "webgpu wasm"),
        ("firefox", "webgpu wasm"),
        ("webkit", "wasm"),
    ],
)
def test_backends_are_tried_for_real(spawn: Call, browser: str, working: str) -> None:
    answer = spawn("doctor", "--browser", browser, "--json")
    if answer.code and "browsers" not in answer.object:
        pytest.skip(answer.object["error"]["message"])
    (seen,) = answer.object["browsers"]
    assert answer.code == 0
    assert [name for name, trial in seen["backends"].items() if trial["works"]] == working.split()
    assert seen["backends"]["wasm"]["verdict"] == "software"
    timed = [name for name, trial in seen["backends"].items() if trial.get("speeds")]
    assert timed == [name for name in working.split() if name == "webgpu"]
    failed = [trial["error"]["code"] for trial in seen["backends"].values() if not trial["works"]]
    assert failed == ["backend.unavailable"] * (3 - len(working.split()))
    assert (len(seen["capabilities"]["webgpu"]["limits"]) > 20) is ("webgpu" in working)
    assert seen["capabilities"]["cross_origin_isolated"] is True


@pytest.mark.browser("embedded")
def test_report_for_people_names_what_there_is(spawn: Call, embedded: str) -> None:
    answer = spawn("doctor", "--browser", embedded)
    assert answer.code == 0
    text = " ".join(answer.out.split())
    assert "WebAssembly works, in software: WebAssembly runs on the CPU" in text
    assert "SIMD yes, threads yes, JSPI yes, cross-origin isolated yes" in text
    assert max(map(len, answer.out.splitlines())) <= 100
