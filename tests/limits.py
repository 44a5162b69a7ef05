"""A test suite that cannot hang: what a test started is killed when the test has long passed its time limit.

pytest-timeout raises an exception in the test once. A `with subprocess.Popen(…)` around it then waits for the process
again, without a limit. So the processes are killed some seconds later, which ends that wait.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Generator

import psutil
import pytest

GRACE = float(os.environ.get("WEBINFER_TEST_GRACE", "15"))  # seconds after its limit in which a test may clean up


def pytest_configure() -> None:
    """Make SIGINT what it is in a terminal: a shell may have started this run with SIGINT ignored, for children too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Watch over one test, its fixtures included."""
    before = set(psutil.Process().children(recursive=True))
    timer = threading.Timer(limit(item) + GRACE, kill_all_but, [before])
    timer.daemon = True
    timer.start()
    try:
        return (yield)
    finally:
        timer.cancel()


def limit(item: pytest.Item) -> float:
    """Return a test's time limit in seconds."""
    marker = item.get_closest_marker("timeout")
    if marker is None:
        return float(item.config.getini("timeout"))
    return float(marker.args[0] if marker.args else marker.kwargs["timeout"])


def kill_all_but(spared: set[psutil.Process]) -> None:
    """Kill the processes below this one that are not spared."""
    for process in psutil.Process().children(recursive=True):
        if process not in spared:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
