"""Telling which browser an executable is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from webinfer.browsers.discovery import minibrowser
from webinfer.browsers.discovery.headless_shell import library_path
from webinfer.core.options import BrowserName

_PATIENCE = (
    20.0  # Seconds for `--version`; Firefox reads its whole library first, which takes a while from a cold disk.
)
_NUMBER = re.compile(r"\d+(?:\.\d+)+\w*")

# Searched in what `--version` says, on Windows in the file's name. The first that fits counts.
_NAMES: tuple[tuple[re.Pattern[str], BrowserName], ...] = (
    (re.compile(r"firefox|librewolf|waterfox", re.IGNORECASE), "firefox"),
    (re.compile(r"microsoft edge|msedge|microsoft-edge", re.IGNORECASE), "edge"),
    (re.compile(r"google chrome|google-chrome|^chrome(\.exe)?$", re.IGNORECASE), "chrome"),
    (re.compile(r"chromium|headless[-_]shell|brave|vivaldi|opera", re.IGNORECASE), "chromium"),
)


def identify(executable: Path, libraries: Path | None = None) -> BrowserName | None:
    """Return which browser an executable is, or ``None`` when it is none that is known.

    Args:
        executable: The file.
        libraries: A directory of shared libraries that it needs.
    """
    if executable.name == minibrowser.EXECUTABLE:
        return "webkit"
    text = executable.name if sys.platform == "win32" else _ask(executable, libraries)
    return next((name for pattern, name in _NAMES if pattern.search(text or "")), None)


def version(executable: Path, libraries: Path | None = None) -> str | None:
    """Return a browser's version, or ``None`` where it is not known.

    Args:
        executable: The browser.
        libraries: A directory of shared libraries that it needs.
    """
    if executable.name == minibrowser.EXECUTABLE:
        return minibrowser.version(executable)
    if sys.platform == "win32":  # Browsers there do not answer --version, but name a directory after it.
        numbers = [path.name for path in executable.parent.glob("*.*.*.*") if _NUMBER.fullmatch(path.name)]
        return max(numbers, default=None)
    number = _NUMBER.search(_ask(executable, libraries) or "")
    return number.group() if number else None


def is_snap(executable: Path) -> bool:
    """Return whether an executable is a snap, or Ubuntu's script that starts one.

    Args:
        executable: Its path.
    """
    if sys.platform != "linux":
        return False
    if executable.resolve() == Path("/usr/bin/snap"):
        return True
    with executable.open("rb") as file:
        start = file.read(4096)
    return start.startswith(b"#!") and b"/snap/bin/" in start


def _ask(executable: Path, libraries: Path | None) -> str | None:
    """Return the answer to `--version`, or ``None`` when there is none."""
    env = {**os.environ, "LD_LIBRARY_PATH": library_path(libraries, os.environ)} if libraries else None
    try:
        answer = subprocess.run(
            [executable, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
            env=env,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.decode(errors="replace").strip() if answer.returncode == 0 else None
