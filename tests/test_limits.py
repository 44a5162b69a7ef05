"""The suite's own promise: no test waits for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HANGS = """
import subprocess, sys

def test_waits_for_ever():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        process.wait()
"""
IS_INTERRUPTED = """
import os, signal, subprocess, sys

def test_child_ends_by_sigint():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(600)"
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode != 0
"""


def run(directory: Path, code: str, *, ignored: bool = False) -> subprocess.CompletedProcess[str]:
    (directory / "test_inner.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.limits", "-p", "no:cacheprovider", "-o", "timeout=2"]
    return subprocess.run(
        [*command, str(directory)],
        env={**os.environ, "WEBINFER_TEST_GRACE": "1"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignored else None,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is a signal there is not")
def test_hung_child_ends_with_its_test(tmp_path: Path) -> None:
    assert "1 failed" in run(tmp_path, HANGS).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="signals to processes are not sent there")
def test_interrupts_work_where_sigint_was_ignored(tmp_path: Path) -> None:
    assert "1 passed" in run(tmp_path, IS_INTERRUPTED, ignored=True).stdout
