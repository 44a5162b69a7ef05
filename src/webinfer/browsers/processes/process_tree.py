"""A browser's processes and the memory they take."""

from __future__ import annotations

import contextlib

import psutil


def processes(pid: int) -> list[psutil.Process]:
    """Return a process and all that descend from it, or nothing when it is gone.

    Args:
        pid: Id of the process.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def tree_memory(pid: int) -> int:
    """Measure the memory of a process and all that descend from it.

    Takes some 10 ms a process, in which the kernel walks through its pages: not for the event loop.

    Args:
        pid: The browser's main process, or 0 where it is not ours.

    Returns:
        Bytes; 0 when the process is gone. It is the proportional set size, where pages that several share count once.
        A system that does not report that gives what belongs to one process alone, or else the resident set.
    """
    return sum(_memory(process) for process in processes(pid)) if pid else 0


def _memory(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", 0) or full.uss)
    except psutil.AccessDenied:
        with contextlib.suppress(psutil.Error):
            return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        pass  # It ended while the others were measured.
    return 0
