"""WebKitGTK's own small browser, MiniBrowser: where distributions put it, and which version it is."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

EXECUTABLE = "MiniBrowser"

# The directory it lies in is named after WebKitGTK's interface, and so is the library. The first is preferred.
_LIBRARIES = {
    "webkit2gtk-4.1": "libwebkit2gtk-4.1.so.0",
    "webkitgtk-6.0": "libwebkitgtk-6.0.so.4",
    "webkit2gtk-4.0": "libwebkit2gtk-4.0.so.37",
}
_PATIENCE = 20.0  # Seconds to read a library of 100 MB from a cold disk.

# In a process of its own: that library would stay in ours for good.
_ASK = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
print(*(getattr(library, f"webkit_get_{part}_version")() for part in ("major", "minor", "micro")), sep=".")
"""


def places() -> tuple[str, ...]:
    """Return where MiniBrowser may lie: as Debian and Ubuntu have it, Fedora, and Arch Linux."""
    roots = (f"/usr/lib/{platform.machine()}-linux-gnu", "/usr/libexec", "/usr/lib")
    return tuple(f"{root}/{directory}/{EXECUTABLE}" for directory in _LIBRARIES for root in roots)


def version(executable: Path) -> str | None:
    """Return the version of WebKitGTK, or ``None`` where it is not known.

    MiniBrowser itself prints it only where there is a display.

    Args:
        executable: MiniBrowser's path.
    """
    library = _LIBRARIES.get(executable.resolve().parent.name)
    if library is None:
        return None
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _ASK, library],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
