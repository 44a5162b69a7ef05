"""What every test run shares: a temporary directory of its own, browsers that may not be missing, and no leftovers.

``WEBINFER_REQUIRE_BROWSERS=embedded,chromium,firefox,webkit`` makes a skipped browser test of those browsers a
failure: this platform could run it, so something is broken. ``make test`` sets it; without it, tests of missing
browsers skip.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from tests.matrix import note_place, pytest_addoption, pytest_terminal_summary
from tests.processes import command_line

__all__ = ["pytest_addoption", "pytest_terminal_summary"]  # hooks: see there
pytest_plugins = ("tests.limits", "tests.modelfiles")

REQUIRED_BROWSERS = frozenset(filter(None, os.environ.get("WEBINFER_REQUIRE_BROWSERS", "").split(",")))
SESSION_MARK = "WEBINFER_TEST_SESSION"
BROWSER_TESTS = Path(__file__).parent / "browser"
GRACE = 30.0  # seconds that processes told to end may take to be gone

# No deadline per example: a busy machine is not a bug.
settings.register_profile("webinfer", deadline=None)
settings.load_profile("webinfer")

_session_directory = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Give this run a temporary directory of its own, so that leftovers of another run are not taken for ours."""
    outer = tempfile.gettempdir()
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", outer)  # keeps tmp_path where pytest always has it
    directory = Path(tempfile.mkdtemp(prefix="wt-"))
    os.environ["TMPDIR"] = os.environ[SESSION_MARK] = tempfile.tempdir = str(directory)
    # No test asks the real hub, or sees what is in its user's cache; those that need a hub bring their own.
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(directory / "huggingface")}
    config.stash[_session_directory] = directory


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[_session_directory], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in tests/browser/."""
    for item in items:
        if BROWSER_TESTS in item.path.parents:
            item.add_marker(pytest.mark.browser)
            note_place(item)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Call bytes by their argument's name: what an encoder writes may hold the time, and all workers must agree."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test whose browser is required into a failure."""
    report = yield
    if report.skipped and REQUIRED_BROWSERS and (marks := list(item.iter_markers("browser"))):
        names = {str(name) for mark in marks for name in mark.args} | _parameters(item)
        if not names or names & REQUIRED_BROWSERS:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} may not be skipped: WEBINFER_REQUIRE_BROWSERS names its browser. {reason}"
    return report


@pytest.fixture(autouse=True)
def nothing_tuned(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each test begin without what others, or the user's own contests, found of the models."""
    directory = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("webinfer.tuning.results.cache_dir", lambda: directory)


@pytest.fixture(scope="session", autouse=True)
def no_leftovers(pytestconfig: pytest.Config) -> Iterator[None]:
    """Assert that the tests left neither a process nor a temporary directory of ours behind."""
    yield
    directory = pytestconfig.stash[_session_directory]
    _, alive = psutil.wait_procs(list(_our_processes(directory)), timeout=GRACE)
    alive = [process for process in alive if not _is_zombie(process)]
    processes = [f"{process.pid} {' '.join(command_line(process))[:200]}" for process in alive]
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    assert not processes, f"Processes left behind: {processes}"
    directories = sorted(path.name for path in directory.glob("webinfer-*"))
    assert not directories, f"Temporary directories left behind: {directories}"


def _parameters(item: pytest.Item) -> set[str]:
    """Name the browsers among a test's parameters."""
    from webinfer.core.options import BROWSERS  # not above: what fails to import should fail a test, not the run

    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return {value for value in values if isinstance(value, str) and value in BROWSERS}


def _our_processes(directory: Path) -> Iterator[psutil.Process]:
    """Find our children, and those whose parent died: they carry the session's mark or its directory."""
    me = psutil.Process()
    children = set(me.children(recursive=True))
    yield from children
    for process in psutil.process_iter():
        if process.pid != me.pid and process not in children and _is_marked(process, str(directory)):
            yield process


def _is_zombie(process: psutil.Process) -> bool:
    """Whether it has ended and only waits to be reaped, by an init that takes its time."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _is_marked(process: psutil.Process, mark: str) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        if process.environ().get(SESSION_MARK) == mark:
            return True
    return any(mark in argument for argument in command_line(process))
