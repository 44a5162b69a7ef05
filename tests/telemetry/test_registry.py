"""Running accelerators are found by other processes, and dead ones are not."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from webinfer.core.errors import HostError
from webinfer.telemetry.registry import Entry, announce, retract, running

ORIGIN = "http://127.0.0.1:4321"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEBINFER_CACHE", str(tmp_path))
    return tmp_path


def put(entry: Entry) -> Path:
    entry.path.write_text(json.dumps(asdict(entry)))
    return entry.path


def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_announced_accelerator_is_found_until_it_is_retracted(cache: Path) -> None:
    entry = announce(ORIGIN, "secret")
    assert running() == [entry]
    assert (entry.pid, entry.origin, entry.token) == (os.getpid(), ORIGIN, "secret")
    assert [path.name for path in (cache / "running").iterdir()] == [f"{os.getpid()}-4321.json"]
    retract(entry)
    retract(entry)
    assert running() == []
    assert list((cache / "running").iterdir()) == []


def test_only_the_user_can_read_the_token() -> None:
    entry = announce(ORIGIN, "secret")
    assert stat.S_IMODE(entry.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(entry.path.parent.stat().st_mode) == 0o700
    assert "secret" not in repr(entry)


def test_accelerators_are_sorted_by_their_start() -> None:
    entries = [announce(f"http://127.0.0.1:{port}", "secret") for port in (9, 8, 7)]
    assert running() == entries


def test_file_of_a_dead_process_is_ignored_and_removed() -> None:
    living = announce(ORIGIN, "secret")
    path = put(replace(living, pid=dead()))
    assert running() == [living]
    assert not path.exists()


def test_file_of_a_dead_process_is_removed_by_the_next_accelerator() -> None:
    path = put(replace(announce(ORIGIN, "secret"), pid=dead()))
    announce("http://127.0.0.1:99", "secret")
    assert not path.exists()


def test_process_that_got_a_dead_ones_number_is_not_taken_for_it() -> None:
    before = psutil.Process().create_time() - 60
    path = put(replace(announce(ORIGIN, "secret"), started=before))
    assert running() == []
    assert not path.exists()


def test_another_machines_file_is_left_alone() -> None:
    path = put(replace(announce(ORIGIN, "secret"), machine="elsewhere", pid=dead()))
    announce("http://127.0.0.1:99", "secret")
    assert all(entry.machine != "elsewhere" for entry in running())
    assert path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "null"])
def test_file_that_cannot_be_read_is_ignored(text: str) -> None:
    entry = announce(ORIGIN, "secret")
    (entry.path.parent / "1-1.json").write_text(text)
    assert running() == [entry]


def test_accelerator_that_does_not_answer_is_an_error_that_names_it() -> None:
    entry = Entry("http://127.0.0.1:9", "secret", os.getpid(), time.time(), "here")
    with pytest.raises(HostError, match=f"process {os.getpid()} at http://127.0.0.1:9") as caught:
        entry.status(timeout=1)
    assert "secret" not in str(caught.value)
