"""A disk that is full: a small one of memory, mounted where that is allowed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def small_disk(at: Path, kilobytes: int) -> Iterator[Path | None]:
    """Mount a disk of that size at an empty directory, or yield ``None``: it takes Linux, and the superuser."""
    if sys.platform != "linux" or os.geteuid() != 0:
        yield None
        return
    at.mkdir(exist_ok=True)
    size = ("-o", f"size={kilobytes}k,mode=1777")
    if subprocess.run(
        ["mount", "-t", "tmpfs", *size, "webinfer-test", at], capture_output=True, check=False
    ).returncode:
        yield None  # a container may keep mounting even from its superuser
        return
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


def fill(disk: Path) -> Path:
    """Write a file that takes all the room there is."""
    path = disk / "filler"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return path
