"""Counts what a run could leave behind."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

GRACE = 30.0  # seconds that what was told to end may take to be gone


@dataclass(frozen=True, slots=True)
class Census:
    """What there is of each kind."""

    processes: int
    directories: int
    ports: int
    threads: int
    descriptors: int

    @classmethod
    def take(cls, temporary: Path, apart: Collection[psutil.Process] = ()) -> Census:
        """Count: processes that descend from us or name ``temporary``, our directories in or under it, and the rest.

        Browsers start and end processes as they like: those of ``apart``, and what descends from them, do not count.
        """
        gc.collect()
        me = psutil.Process()
        return cls(
            len(_processes(me, temporary) - _trees(apart)),
            len([*temporary.glob("webinfer-*"), *temporary.glob("*/webinfer-*")]),
            sum(connection.status == psutil.CONN_LISTEN for connection in me.net_connections()),
            threading.active_count(),
            len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else me.num_fds(),  # noqa: PTH208
        )

    def growth_over(self, before: Census) -> dict[str, int]:
        """Return how many more of each kind there are now."""
        earlier = asdict(before)
        return {kind: max(0, count - earlier[kind]) for kind, count in asdict(self).items()}


def settle(
    temporary: Path, before: Census, apart: Collection[psutil.Process] = (), grace: float = GRACE
) -> dict[str, int]:
    """Return what is left over once it had a while to go."""
    end = time.monotonic() + grace
    while any((left := Census.take(temporary, apart).growth_over(before)).values()) and time.monotonic() < end:
        time.sleep(0.2)
    return left


def _trees(roots: Collection[psutil.Process]) -> set[psutil.Process]:
    found = set(roots)
    for root in roots:
        with contextlib.suppress(psutil.Error):
            found.update(root.children(recursive=True))
    return found


def _processes(me: psutil.Process, temporary: Path) -> set[psutil.Process]:
    found = set(me.children(recursive=True))
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != me.pid and any(str(temporary) in word for word in process.cmdline()):
                found.add(process)
    return found
