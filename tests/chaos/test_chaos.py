"""A short chaos run in every test run; ``python -m tests.chaos`` is the long one."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.chaos.census import Census, settle
from tests.chaos.run import attack
from tests.chaos.table import broken_promises
from tests.chaos.workload import make_subjects
from webinfer.browsers.discovery.find import find
from webinfer.core.errors import BrowserNotFound


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("browser", "faults"), [("embedded", 10), ("firefox", 3), ("webkit", 3)])
async def test_faults_lose_no_request_and_leave_nothing(tmp_path: Path, browser: str, faults: int) -> None:
    try:
        find(browser)  # type: ignore[arg-type]
    except BrowserNotFound as error:
        pytest.skip(str(error))
    subjects = make_subjects(tmp_path)
    temporary = Path(tempfile.gettempdir())
    await asyncio.to_thread(lambda: None)  # what the loop opens once and keeps
    others = psutil.Process().children()  # browsers of other tests
    before = Census.take(temporary, others)
    total = await attack(browser, subjects, tmp_path, requests=faults * 15, faults=faults, seed=11)
    left = settle(temporary, before, others)
    del left["threads"]  # the loop's own pool of threads lives as long as the test's loop
    assert not broken_promises(total, left)
    assert len(total.strikes) == faults
    assert total.right >= 0.98 * total.asked
