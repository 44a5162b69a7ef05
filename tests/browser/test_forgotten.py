"""An accelerator that nobody closed ends by itself, and holds up nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from webinfer.core.cache import cache_dir

pytestmark = pytest.mark.browser("embedded")

_START = """
import gc, os
from concurrent.futures import thread
from webinfer import Accelerator
accelerator = Accelerator(browser="embedded")
accelerator.start()
print(os.getpid())
"""
# The collector may come in the middle of any call, so also where a thread pool holds the lock of all thread pools.
_COLLECT = """
portal = accelerator._portal
with thread._global_shutdown_lock:
    del accelerator
    gc.collect()
portal.join()
"""


@pytest.mark.parametrize("end", [_COLLECT, ""], ids=["collected", "left to the interpreter's exit"])
def test_forgotten_accelerator_ends_with_all_that_it_started(end: str, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "t")}
    ended = subprocess.run(
        [sys.executable, "-c", _START + end], env=environment, check=True, capture_output=True, text=True
    )
    assert not end or ended.stderr == ""  # at exit, the host may be in the middle of serving the page
    assert not list((tmp_path / "t").iterdir())
    assert not list((cache_dir() / "running").glob(f"{ended.stdout.strip()}-*"))
