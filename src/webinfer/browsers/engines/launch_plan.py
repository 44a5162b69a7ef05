"""What it takes to start a browser, decided before anything is started."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from webinfer.browsers.discovery.find import Installation

_SHARED_MEMORY = 1 << 30  # Bytes of /dev/shm below which a browser's buffers may not fit; containers often get 64 MiB.
_STATE = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")  # Unset, they lie under HOME.


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """A browser's command, environment and files.

    Attributes:
        argv: The command, its first element the executable.
        env: The whole environment.
        files: Contents of the files that must be there beforehand, by path.
        server: The command of an X server that must run beforehand, or nothing. The guard adds the argument that asks
            for the number of its display, which becomes the browser's ``DISPLAY``.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[Path, str] = field(default_factory=dict)
    server: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """What matters about this machine.

    Attributes:
        root: Whether we are the superuser, as whom Chromium's sandbox refuses to start.
        gpu: Whether there is a GPU that a browser could use.
        small_shared_memory: Whether /dev/shm is too small for a browser.
    """

    root: bool
    gpu: bool
    small_shared_memory: bool

    @classmethod
    def here(cls) -> Machine:
        """Return what this machine is."""
        return cls(root=_is_root(), gpu=_has_gpu(), small_shared_memory=_has_small_shared_memory())


class Planner(Protocol):
    """Decides how to start one engine's browsers: the one place that knows the engine's ways."""

    def __call__(
        self,
        installation: Installation,
        url: str,
        home: Path,
        *,
        headless: bool,
        args: tuple[str, ...],
        machine: Machine,
        inherited: Mapping[str, str],
    ) -> LaunchPlan:
        """Plan a launch.

        Args:
            installation: The browser.
            url: The page to open.
            home: The directory that is all the browser's own and that is deleted with it.
            headless: Whether to do without a window.
            args: The user's further arguments.
            machine: The machine it will run on.
            inherited: Our own environment.
        """


def profile_of(home: Path) -> Path:
    """Return the place of the profile in a browser's directory.

    Args:
        home: Directory of a launch.
    """
    return home / "profile"


def environment(home: Path, inherited: Mapping[str, str], *, headless: bool) -> dict[str, str]:
    """Return an environment in which everything that a browser leaves about lies in ``home``.

    Args:
        home: The browser's directory, private to this user.
        inherited: Our own environment.
        headless: Whether the browser does without a window, and so without the desktop's sockets.
    """
    place = str(home)
    env = {**inherited, "TMPDIR": place, "TMP": place, "TEMP": place}
    if sys.platform in ("darwin", "win32"):
        return env  # The home there is more than files (keychain, registry), and profiles are named by argument.
    if "HOME" in inherited:  # The X server's key is found through the home that we take away.
        env.setdefault("XAUTHORITY", str(Path(inherited["HOME"], ".Xauthority")))
    env["HOME"] = place
    for name in _STATE:
        env.pop(name, None)
    if headless:
        env["XDG_RUNTIME_DIR"] = place
        env.pop("DBUS_SESSION_BUS_ADDRESS", None)
    return env


def _is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def _has_gpu() -> bool:
    if sys.platform != "linux":
        return True  # Windows and macOS always bring a driver, and their browsers know when it is of no use.
    devices = Path("/dev")
    return any(next(devices.glob(pattern), None) for pattern in ("dri/renderD*", "nvidia[0-9]*", "dxg"))


def _has_small_shared_memory() -> bool:
    if sys.platform != "linux":
        return False
    try:
        space = os.statvfs("/dev/shm")
    except OSError:
        return True
    return space.f_bavail * space.f_frsize < _SHARED_MEMORY
