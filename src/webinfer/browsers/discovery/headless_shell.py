"""The Chromium that webinfer brings: which one, where it lies, and what it needs of the system."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from webinfer.core.cache import cache_dir

PACKAGE = "@sparticuz/chromium"  # On npm: an unmodified headless shell, with SwiftShader and the libraries it needs.
VERSION = "153.0.0"
EXECUTABLE = "headless-shell"


def directory() -> Path:
    """Return where the embedded Chromium lies, or will."""
    return cache_dir() / f"chromium-{VERSION}"


def is_supported() -> bool:
    """Return whether there is an embedded Chromium for this platform."""
    return sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64")


def executable() -> Path | None:
    """Return the embedded Chromium's executable, or ``None`` where it is not installed."""
    path = directory() / EXECUTABLE
    return path if is_supported() and path.is_file() else None


@functools.cache
def libraries(path: Path) -> Path | None:
    """Return the directory of the shared libraries that came with ``path``, where the system lacks some of them.

    They belong together, so it is all of them or none; the system's own are preferred, because they get its fixes.

    Args:
        path: The executable.
    """
    loader = Path("/lib64/ld-linux-x86-64.so.2")
    try:
        listed = subprocess.run([loader, "--list", path], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return path.parent / "lib"  # No glibc where it always is: then the rest is hardly there either.
    complete = listed.returncode == 0 and "not found" not in listed.stdout
    return None if complete else path.parent / "lib"


def library_path(libraries: Path, inherited: Mapping[str, str]) -> str:
    """Return an LD_LIBRARY_PATH on which ``libraries`` come first.

    Args:
        libraries: The directory.
        inherited: The environment.
    """
    return os.pathsep.join(filter(None, (str(libraries), inherited.get("LD_LIBRARY_PATH"))))
