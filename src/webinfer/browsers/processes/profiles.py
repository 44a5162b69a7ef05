"""Profiles that outlive their browsers, so that what a page keeps in the browser's storage is there the next time.

One browser at a time has a profile. Its lock is handed down to the guard and the browser. So it is held until the
last process of that browser has ended, however it and we end.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PORT = "port"  # the file with the port's number


@dataclass(frozen=True, slots=True)
class KeptProfile:
    """A profile that is ours as long as ``lock`` is open, here or in a process that inherited it.

    Attributes:
        path: Its directory.
        lock: A file descriptor.
    """

    path: Path
    lock: int


@contextlib.contextmanager
def claimed(directory: Path | None, browser: str) -> Iterator[KeptProfile | None]:
    """Yield the directory of a browser's kept profile, claimed for this block, or ``None`` where none is to be had.

    Args:
        directory: Where profiles are kept; ``None`` keeps none.
        browser: The browser's name; each has its own.

    Raises:
        OSError: The directory cannot be written.
    """
    lock = None if directory is None else _lock(directory, browser)
    if directory is None or lock is None:
        yield None
        return
    try:
        path = directory / browser
        path.mkdir(mode=0o700, exist_ok=True)
        yield KeptProfile(path.resolve(), lock)
    finally:
        os.close(lock)


def port_of(directory: Path) -> int:
    """Return the port that pages had whose storage lies in these profiles, or 0: storage belongs to an address.

    Args:
        directory: Directory of the profiles.
    """
    try:
        return int((directory / _PORT).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def note_port(directory: Path, port: int) -> None:
    """Note the port of the pages whose storage will lie in these profiles.

    Args:
        directory: Directory of the profiles.
        port: The port.

    Raises:
        OSError: The directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _PORT).write_text(str(port), encoding="ascii")


def _lock(directory: Path, browser: str) -> int | None:
    if sys.platform == "win32":
        return None  # neither links nor handed-down locks there: every profile is thrown away
    import fcntl

    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory / f".{browser}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # another browser has it
        os.close(lock)
        return None
    except BaseException:
        os.close(lock)
        raise
    return lock
