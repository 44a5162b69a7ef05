"""The machine and the source that a run comes from."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import psutil


@cache
def machine() -> dict[str, Any]:
    """Return the columns of the table ``machines`` for this machine."""
    memory = psutil.virtual_memory().total / 1e6
    described = {
        "hostname": platform.node(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "memory_mb": memory,
    }
    identity = (described["hostname"], platform.system(), described["cpu"], described["cores"], round(memory / 1e3))
    sha = hashlib.sha256(repr(identity).encode()).hexdigest()
    return {"id": sha[:16], **described, "python": platform.python_version()}


@cache
def revision(directory: Path | None = None) -> str | None:
    """Return the git revision of a directory, by default of this package's source, with ``+`` where it was changed.

    ``None`` where it is no checkout, or git is missing.

    Args:
        directory: The directory; ``None`` for this package's source.
    """
    place = directory or Path(__file__).parent
    try:
        head = _git(place, "rev-parse", "HEAD")
        changed = _git(place, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changed else "")


def _git(place: Path, *arguments: str) -> str:
    command = ["git", "-C", str(place), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
