"""Processes of browsers, of which any may end while they are looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import psutil


def command_line(process: psutil.Process) -> list[str]:
    """Return a process's arguments; none of one that has ended."""
    with contextlib.suppress(psutil.Error, OSError):
        return process.cmdline()
    return []


def name(process: psutil.Process) -> str:
    """Return a process's name; none of one that has ended."""
    with contextlib.suppress(psutil.Error, OSError):
        return process.name()
    return ""


def send(number: int, processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Send a signal, and return those that it reached."""
    reached = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
            reached.append(process)
    return reached


def having(mark: str, processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return those that were started with an argument."""
    return [process for process in processes if mark in command_line(process)]
