from __future__ import annotations

import copy
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.cli.conftest import Call
from webinfer.api.sync.portal import Portal
from webinfer.cli.output.terminal import THEME
from webinfer.cli.views import top as top_view
from webinfer.cli.views.rates import Watch, compare
from webinfer.telemetry.registry import Entry, announce
from webinfer.transport.server import Host

SESSION = {"model": "probe", "model_sha256": "a" * 64, "backend": "wasm", "precision": "fp32", "dimensions": {}}


def lane(name: str, **fields: Any) -> dict[str, Any]:
    base = {"id": name, "runtime": "", "sessions": [SESSION], "loading": None, "running": 0, "oldest": None}
    return {**base, "runs": 0, "errors": 0, "busy": 0.0, **fields}


def snapshot(uptime: float = 100.0, runs: int = 0, lanes: int = 2) -> dict[str, Any]:
    queue = {"session": SESSION, "waiting": 3, "oldest": 0.25, "running": 2, "lanes": 2, "runs": runs, "errors": 1}
    fault = {"kind": "lane", "code": "lost.lane", "where": "b1.1", "model": None, "reason": "x" * 300}
    return {
        "pid": 1,
        "at": 1.8e9,
        "uptime": uptime,
        "browsers": [
            {
                "id": "b1",
                "name": "embedded",
                "engine": "chromium",
                "version": "153.0.1.2",
                "pid": 2,
                "uptime": 90.0,
                "memory_mb": 812.5,
                "lanes": [lane(f"b1.{number + 1}", runs=runs // lanes) for number in range(lanes)],
            }
        ],
        "queue": [queue],
        "totals": {
            "waiting": 3,
            "running": 2,
            "runs": runs,
            "items": 2 * runs,
            "loads": 1,
            "browser_mb": 812.5,
            "python_mb": 90.0,
        },
        "recent": {"seconds": 10.0, "runs": 50, "items": 100, "p50": 0.0068, "p95": 0.012},
        "errors": {"lost.lane": 2},
        "recoveries": {"requests_rerun": 2, "requests_recovered": 1, "lanes_lost": 1, "browsers_lost": 0},
        "faults": [{**fault, "times": 1, "age": 12.0}],
    }


class Reporter:
    """Reports a snapshot that grows from look to look."""

    looks = 0

    async def __call__(self) -> dict[str, Any]:
        self.looks += 1
        return snapshot(100.0 + self.looks, runs=100 * self.looks)


@pytest.fixture
def entry(cache: Path) -> Iterator[Entry]:
    """A host that reports like an accelerator's, announced in a cache directory of its own."""
    portal, host = Portal(), Host()
    host.report = Reporter()
    portal.call(host.start())
    yield announce(host.origin, host.status_token)
    portal.call(host.close())
    portal.close()


def drawn(*seen: dict[str, Any], width: int = 100, height: int = 30) -> str:
    """Draw accelerators, each of which went from one snapshot to the next."""
    watches = []
    for number, fields in enumerate(seen):
        watch = Watch(Entry(f"http://127.0.0.1:{number}", "", os.getpid(), 0.0, ""))
        watch.snapshot, watch.rates = fields, compare(snapshot(fields["uptime"] - 1), fields)
        watch.history.extend([1.0, 4.0, 2.0])
        watches.append(watch)
    console = Console(width=width, height=height, theme=THEME, color_system=None, force_terminal=True)
    with console.capture() as captured:
        console.print(top_view.screen(watches, 1.0, console))
    return captured.get()


def test_rates_are_differences_by_time() -> None:
    before, now = snapshot(100.0, 10), snapshot(102.0, 50)
    now["browsers"][0]["lanes"][0]["busy"] = 1.5
    rates = compare(before, now)
    assert (rates.seconds, rates.runs, rates.items) == (2.0, 20.0, 40.0)
    assert rates.lane_runs == {"b1.1": 10.0, "b1.2": 10.0}
    assert rates.lane_busy == {"b1.1": 0.75, "b1.2": 0.0}
    assert list(rates.session_runs.values()) == [20.0]


def test_lane_whose_run_lasts_all_the_while_is_busy() -> None:
    now = snapshot(102.0)
    now["browsers"][0]["lanes"][0] |= {"running": 1, "oldest": 30.0}
    assert compare(snapshot(100.0), now).lane_busy == {"b1.1": 1.0, "b1.2": 0.0}


def test_new_lane_has_no_rates_yet() -> None:
    assert set(compare(snapshot(1.0, lanes=1), snapshot(2.0, lanes=2)).lane_busy) == {"b1.1"}


def test_view_fits_the_terminal_and_says_what_matters() -> None:
    text = drawn(snapshot(runs=240))
    lines = text.splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 100
    said = ("240 runs/s, 480 items/s", "p50 6.80 ms, p95 12.0 ms", "3 waiting, 2 running", "embedded Chromium 153")
    assert all(part in text for part in said)
    assert "812 MB browsers, 90.0 MB Python" in text
    assert "3 wait, 250 ms" in text
    assert "lost.lane 2; requests run again 2, answered then 1, lanes lost 1" in text
    assert "12 s ago  lost.lane  lane b1.1" in text
    assert "▃█▅" in text


def placed(backend: str, nodes: dict[str, int], **fallen: int) -> dict[str, Any]:
    placement = {"backend": backend, "nodes": nodes, "fallen": fallen, "copies": 0, "graphs": 0}
    return {**SESSION, "backend": backend, "placement": placement}


def test_placement_is_short_where_all_nodes_are_in_place() -> None:
    seen = snapshot()
    for each in seen["browsers"][0]["lanes"]:
        each["sessions"] = [placed("wasm", {"wasm": 12})]
    text = drawn(seen)
    assert "probe  wasm 12/12 fp32, on 2 lanes" in text
    assert "wasm 12:" not in text


def test_operators_that_fell_back_are_named_for_each_way_in_which_lanes_differ() -> None:
    seen = snapshot()
    session = placed("webnn", {"webnn": 120, "wasm": 3}, Mod=2, Erf=1)
    seen["browsers"][0]["lanes"] = [lane(f"b1.{number}", sessions=[session]) for number in (1, 2)]
    seen["queue"][0]["session"] = session
    text = drawn(seen)
    assert "probe  webnn 120/123 fp32, on 2 lanes" in text
    assert text.count("webnn 120, wasm 3: 2 Mod, Erf") == 1
    other = placed("webnn", {"webnn": 122, "wasm": 1}, Erf=1)
    seen["browsers"][0]["lanes"][1]["sessions"] = [other]
    text = drawn(seen)
    assert "probe  webnn fp32, on 2 lanes" in text
    assert "webnn 120, wasm 3: 2 Mod, Erf" in text
    assert "webnn 122, wasm 1: Erf" in text


def test_loading_and_lasting_runs_show_on_their_lane() -> None:
    seen = snapshot()
    seen["browsers"][0]["lanes"] = [lane("b1.1", loading=SESSION), lane("b1.2", running=1, oldest=2.5)]
    text = drawn(seen)
    assert "loads probe" in text
    assert "1 running, for 2.50 s" in text


def test_accelerators_without_room_are_counted() -> None:
    several = [copy.deepcopy(snapshot()) for _ in range(4)]
    text = drawn(*several)
    assert "3 more: enlarge the window, or show one with --pid" in text
    assert "more:" not in drawn(*several, height=100)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.4, "0 s"), (59, "59 s"), (192, "3 min 12 s"), (180, "3 min"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_ages_have_two_units_at_most(value: float, said: str) -> None:
    assert top_view.age(value) == said


def test_without_accelerators_it_says_so(call: Call, cache: Path) -> None:
    answer = call("top")
    assert answer.code == 0
    assert "No accelerator is running." in answer.out
    assert call("top", "--json").object == {"accelerators": []}


def test_process_without_accelerator_is_an_error(call: Call, entry: Entry) -> None:
    answer = call("top", "--pid", "1")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("error: host\n  No accelerator runs in process 1.")


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "1e9"])
def test_interval_that_cannot_be_is_refused(call: Call, cache: Path, interval: str) -> None:
    assert call("top", "--interval", interval).code == 2


def test_json_is_one_snapshot_of_each(call: Call, entry: Entry) -> None:
    (seen,) = call("top", "--json").object["accelerators"]
    assert seen["totals"]["runs"] == 100


def test_without_a_terminal_it_prints_once_with_rates(spawn: Call, entry: Entry) -> None:
    answer = spawn("top", "--interval", "0.05", "--pid", str(entry.pid))
    assert (answer.code, answer.err) == (0, "")
    assert "100 runs/s, 200 items/s" in answer.out
    assert "\x1b" not in answer.out
    assert max(map(len, answer.out.splitlines())) <= 100


def test_accelerator_that_does_not_answer_is_shown_as_such(call: Call, cache: Path) -> None:
    announce("http://127.0.0.1:9", "secret")
    answer = call("top", "--once", "--interval", "0.05")
    assert answer.code == 0
    assert "does not tell its status" in " ".join(answer.out.split())


@pytest.mark.parametrize("way", ["q", "Ctrl-C"])
def test_live_view_is_drawn_again_and_again_until_it_is_left(entry: Entry, way: str) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(
        [sys.executable, "-m", "webinfer", "top", "--interval", "0.1"],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment,
    )
    os.close(theirs)
    text = read(ours, "300 done")
    if way == "q":
        os.write(ours, b"xq")
    else:
        process.send_signal(signal.SIGINT)
    text += read(ours, "\x1b[?1049l")  # back from the alternate screen
    _, errors = process.communicate(timeout=60)
    os.close(ours)
    assert (process.returncode, errors) == (0, b"")
    assert text.startswith("\x1b[?1049h")
    assert re.search(r"100.* runs/s", text)


def read(terminal: int, until: str) -> str:
    """Read what is drawn until something shows."""
    text, end = "", time.monotonic() + 60
    while until not in text and time.monotonic() < end:
        if select.select([terminal], [], [], 1)[0]:
            text += os.read(terminal, 65536).decode(errors="replace")
    assert until in text
    return text
