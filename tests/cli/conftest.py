"""Calling the command line, in this process and as one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from webinfer.browsers.discovery.find import find
from webinfer.cli import app
from webinfer.core.errors import BrowserNotFound
from webinfer.models.zoo.probe import probe_model


@dataclass(frozen=True)
class Answer:
    """What a call of the command line gave."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        """Standard output as the one JSON object that ``--json`` promises."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


Call = Callable[..., Answer]


@pytest.fixture(autouse=True)
def width_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every test write as wide as to a pipe: processes of the test runner have widths of their own in COLUMNS."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def call() -> Call:
    """Call the command line in this process."""

    def invoke(*arguments: str, stdin: str | None = None) -> Answer:
        result = CliRunner().invoke(app, list(arguments), input=stdin, prog_name="webinfer", catch_exceptions=False)
        return Answer(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture
def spawn(tmp_path: Path) -> Call:
    """Call the command line as a process of its own, away from the repository."""

    def start(*arguments: str, stdin: str = "", **environment: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "webinfer", *arguments],
            input=stdin,
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return start


@pytest.fixture
def embedded() -> str:
    """Name of the embedded browser, where it is installed."""
    try:
        find("embedded")
    except BrowserNotFound as error:
        pytest.skip(str(error))
    return "embedded"


@pytest.fixture
def probe() -> str:
    """Path of a model from float32 (1, 4) to float32 (1, 4)."""
    return str(probe_model())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory, in force."""
    directory = tmp_path / "cache"
    monkeypatch.setenv("WEBINFER_CACHE", str(directory))
    return directory


@pytest.fixture
def broken_browser(tmp_path: Path) -> Path:
    """A program that says that it is Firefox, and ends at once when it is started."""
    path = tmp_path / "firefox"
    path.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && { echo "Mozilla Firefox 1.0"; exit 0; }\necho "out of luck" >&2\nexit 3\n'
    )
    path.chmod(0o755)
    return path
