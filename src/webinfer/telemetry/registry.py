"""The accelerators that run on this machine: how another process finds them and reads their status.

Each leaves a file in the cache directory while it runs, which only its user can read: where its host listens, and
the token that lets one read its status.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from webinfer.core.cache import cache_dir
from webinfer.core.errors import HostError
from webinfer.core.json import write_json

_SLACK = 1.0  # seconds by which a process's age, as the system counts it, may be off
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no business on the loopback


@dataclass(frozen=True, slots=True)
class Entry:
    """A running accelerator.

    Attributes:
        origin: Scheme, address and port of its host.
        token: Lets one read its status.
        pid: Its process.
        started: When, in seconds since 1970.
        machine: Name of its machine: the cache directory may be shared by several, each with pids of its own.
    """

    origin: str
    token: str
    pid: int
    started: float
    machine: str

    def __repr__(self) -> str:
        return f"<Entry {self.origin} pid={self.pid}>"  # without the token

    @property
    def path(self) -> Path:
        """Its file."""
        return _directory() / f"{self.pid}-{self.origin.rpartition(':')[2]}.json"

    @property
    def here(self) -> bool:
        """Whether it is this machine's."""
        return self.machine == platform.node()

    @property
    def stale(self) -> bool:
        """Whether its process is gone; another may have its number by now."""
        try:
            return psutil.Process(self.pid).create_time() > self.started + _SLACK
        except psutil.NoSuchProcess:
            return True

    def status(self, timeout: float = 2.0) -> dict[str, Any]:
        """Ask for its snapshot; blocks.

        Args:
            timeout: Seconds to wait.

        Returns:
            The snapshot's fields, as ``Snapshot.to_dict`` gives them.

        Raises:
            HostError: It does not answer within ``timeout`` seconds, or refuses.
        """
        request = urllib.request.Request(f"{self.origin}/status", headers={"Authorization": f"Bearer {self.token}"})
        try:
            with _DIRECT.open(request, timeout=timeout) as response:
                answer = json.load(response)
        except (OSError, ValueError) as error:
            raise HostError(
                f"The accelerator of process {self.pid} at {self.origin} does not tell its status: {error}.",
                pid=self.pid,
                origin=self.origin,
            ) from error
        assert isinstance(answer, dict)
        return answer


def announce(origin: str, token: str) -> Entry:
    """Tell other processes of an accelerator of this one; blocks.

    Args:
        origin: Address of its host.
        token: What opens its snapshot.

    Returns:
        The entry, to be taken back.

    Raises:
        OSError: The file cannot be written.
        OptionError: There is no cache directory.
    """
    entry = Entry(origin, token, os.getpid(), time.time(), platform.node())
    _directory().mkdir(mode=0o700, exist_ok=True)
    for other in _entries():
        _forget_stale(other)
    write_json(entry.path, asdict(entry), mode=0o600)
    return entry


def retract(entry: Entry) -> None:
    """Take an entry back; it may be gone already.

    Args:
        entry: The entry.
    """
    with contextlib.suppress(OSError):
        entry.path.unlink(missing_ok=True)


def running() -> list[Entry]:
    """Return this machine's running accelerators, the oldest first, and clean up after those whose process is gone."""
    return sorted(
        (entry for entry in _entries() if entry.here and not _forget_stale(entry)), key=lambda entry: entry.started
    )


def _directory() -> Path:
    return cache_dir() / "running"


def _entries() -> Iterator[Entry]:
    for path in sorted(_directory().glob("*.json")):
        try:
            yield Entry(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue  # just removed, somebody else's, or of another version


def _forget_stale(entry: Entry) -> bool:
    stale = entry.here and entry.stale
    if stale:
        retract(entry)
    return stale
