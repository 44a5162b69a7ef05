"""Finding the browsers that this machine has."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from webinfer.browsers.discovery import headless_shell, minibrowser, versions
from webinfer.core.errors import BrowserNotFound
from webinfer.core.options import BrowserName, ManyName

log = logging.getLogger("webinfer.browsers.find")

Engine = Literal["chromium", "firefox", "webkit", "unknown"]
Source = Literal["embedded", "system", "explicit", "visitor"]

VARIABLE = "WEBINFER_BROWSER"
ORDER: tuple[BrowserName, ...] = ("embedded", "chrome", "edge", "chromium", "firefox")
BY_NAME: tuple[BrowserName, ...] = ("webkit", "safari")  # Slower than the others, or not to be started at all.
ENGINES: dict[BrowserName, Engine] = {
    "embedded": "chromium",
    "chrome": "chromium",
    "chromium": "chromium",
    "edge": "chromium",
    "firefox": "firefox",
    "safari": "webkit",
    "webkit": "webkit",
    "url": "unknown",
}

GETTING: dict[BrowserName, str] = {
    "embedded": "webinfer install chromium",
    "chrome": "https://www.google.com/chrome",
    "edge": "https://www.microsoft.com/edge",
    "chromium": "your package manager, for instance: apt-get install chromium",
    "firefox": "https://www.firefox.com, or: apt-get install firefox-esr mesa-vulkan-drivers",
    "webkit": "on Linux your package manager, for instance: apt-get install libwebkit2gtk-4.1-0 xvfb",
}
"""Where browsers come from: a command, an address, or in words."""

# Names on PATH and whole paths; on macOS and Windows below the directories where applications are installed.
_LINUX: dict[BrowserName, tuple[str, ...]] = {
    "chrome": ("google-chrome-stable", "google-chrome", "/opt/google/chrome/chrome"),
    "chromium": ("chromium", "chromium-browser", "/usr/lib/chromium/chromium"),
    "edge": ("microsoft-edge-stable", "microsoft-edge", "/opt/microsoft/msedge/msedge"),
    "firefox": (
        "firefox",
        "firefox-esr",
        "/usr/lib/firefox/firefox",
        "/usr/lib/firefox-esr/firefox-esr",
        "/opt/firefox/firefox",
    ),
    "webkit": minibrowser.places(),
}
_MACOS: dict[BrowserName, tuple[str, ...]] = {
    "chrome": ("Google Chrome.app/Contents/MacOS/Google Chrome",),
    "chromium": ("Chromium.app/Contents/MacOS/Chromium",),
    "edge": ("Microsoft Edge.app/Contents/MacOS/Microsoft Edge",),
    "firefox": ("Firefox.app/Contents/MacOS/firefox",),
    "safari": ("Safari.app/Contents/MacOS/Safari",),
}
_WINDOWS: dict[BrowserName, tuple[str, ...]] = {
    "chrome": ("Google/Chrome/Application/chrome.exe",),
    "chromium": ("Chromium/Application/chrome.exe",),
    "edge": ("Microsoft/Edge/Application/msedge.exe",),
    "firefox": ("Mozilla Firefox/firefox.exe",),
}
_WINDOWS_ROOTS = ("PROGRAMFILES", "PROGRAMFILES(X86)", "PROGRAMW6432", "LOCALAPPDATA")


@dataclass(frozen=True, slots=True)
class Installation:
    """A browser on this machine that can be started.

    Attributes:
        name: What it is: ``chrome``, ``firefox`` and so on, or ``embedded``.
        engine: Its engine, which decides how it is started.
        executable: Its executable.
        source: Whether webinfer brought it, the system has it, the user named its path, or it comes by itself.
        libraries: A directory of shared libraries that it needs and the system lacks.
    """

    name: str
    engine: Engine
    executable: Path
    source: Source
    libraries: Path | None = None


def find(name: BrowserName = "auto", executable: Path | None = None) -> Installation:
    """Find a browser.

    Args:
        name: The browser, or ``auto`` for the one named by the environment variable ``WEBINFER_BROWSER`` (a path),
            else the first one installed of embedded, Chrome, Edge, Chromium and Firefox. WebKit is taken only by name.
        executable: Path of an executable, in place of looking for one.

    Returns:
        Where it is, and what kind it is.

    Raises:
        BrowserNotFound: There is none, or the path is not that of a browser.
    """
    if executable is not None:
        return _explicit(executable, "executable")
    if name == "auto" and (named := os.environ.get(VARIABLE)):
        return _explicit(Path(named), VARIABLE)
    wanted = ORDER if name == "auto" else (name,)
    for candidate in wanted:
        if (installation := _find_one(candidate)) is not None:
            return installation
    raise _not_found(wanted)


def find_several(names: Sequence[ManyName]) -> list[Installation]:
    """Find several browsers; those that are missing are left out.

    Args:
        names: The browsers; ``all`` stands for every one that ``auto`` chooses from, the one named by
            ``WEBINFER_BROWSER`` first.

    Returns:
        Those that were found, in order.

    Raises:
        BrowserNotFound: There is none of them.
    """
    wanted = tuple(dict.fromkeys(browser for name in names for browser in (ORDER if name == "all" else (name,))))
    named = os.environ.get(VARIABLE) if "all" in names else None
    installations = [_explicit(Path(named), VARIABLE)] if named else []
    installations += [installation for installation in map(_find_one, wanted) if installation is not None]
    if not installations:
        raise _not_found(wanted)
    # Of two with one name the first stays, which is the one that the user named.
    return list({installation.name: installation for installation in reversed(installations)}.values())[::-1]


def find_all() -> list[Installation]:
    """Return every browser that this machine has, in the order of preference."""
    return [installation for installation in map(_find_one, (*ORDER, *BY_NAME)) if installation is not None]


def version(installation: Installation) -> str | None:
    """Return the version that a browser prints, or ``None`` where it prints none.

    Args:
        installation: The browser.
    """
    return versions.version(installation.executable, installation.libraries)


def places(name: BrowserName) -> list[str]:
    """Return where a browser is looked for on this platform: names on PATH, and paths.

    Args:
        name: Name of the browser, as the option ``browser`` has it.
    """
    if name == "embedded":
        return [str(headless_shell.directory() / headless_shell.EXECUTABLE)] if headless_shell.is_supported() else []
    if sys.platform == "darwin":
        roots = (Path("/Applications"), Path.home() / "Applications")
        return [str(root / place) for place in _MACOS.get(name, ()) for root in roots]
    if sys.platform == "win32":
        named = dict.fromkeys(os.environ[root] for root in _WINDOWS_ROOTS if root in os.environ)
        return [str(Path(root, place)) for place in _WINDOWS.get(name, ()) for root in named]
    return list(_LINUX.get(name, ()))


def _find_one(name: BrowserName) -> Installation | None:
    if name == "url":
        return Installation(name, "unknown", Path("the page to be opened"), "visitor")
    if name == "embedded":
        path = headless_shell.executable()
        return (
            None if path is None else Installation(name, "chromium", path, "embedded", headless_shell.libraries(path))
        )
    path = next(_usable(places(name)), None)
    return None if path is None else Installation(name, ENGINES[name], path, "system")


def _usable(candidates: list[str]) -> Iterator[Path]:
    for candidate in candidates:
        located = shutil.which(candidate)  # Takes whole paths too, and asks whether they can be executed.
        if located is None:
            continue
        if versions.is_snap(Path(located)):
            log.debug("%s is a snap, which may not use a profile of ours: left out", located)
            continue
        yield Path(located)


def _explicit(path: Path, origin: str) -> Installation:
    path = path.expanduser().absolute()
    complaint = _complaint(path)
    if complaint is None:
        libraries = headless_shell.libraries(path) if path == headless_shell.executable() else None
        name = versions.identify(path, libraries)
        if name is not None:
            return Installation(name, ENGINES[name], path, "explicit", libraries)
        complaint = "did not say on --version that it is a browser of the Chromium or Firefox family"
    raise BrowserNotFound(
        f"{path}, named by {origin}, {complaint}. Name that of Chrome, Chromium, Edge, Firefox or MiniBrowser.",
        executable=str(path),
    )


def _complaint(path: Path) -> str | None:
    checks: tuple[tuple[Callable[[Path], bool], str], ...] = (
        (Path.exists, "does not exist"),
        (Path.is_file, "is not a file"),
        (lambda file: os.access(file, os.X_OK), "is not executable"),
    )
    return next((complaint for holds, complaint in checks if not holds(path)), None)


def _not_found(wanted: tuple[BrowserName, ...]) -> BrowserNotFound:
    looked = [f"{name} ({', '.join(places(name)) or 'none on this platform'})" for name in wanted]
    remedy = "Run `webinfer install chromium`" if headless_shell.is_supported() else "Install Google Chrome"
    missing, there = "No browser found", [installation.name for installation in find_all()]
    if len(wanted) == 1:
        missing = f"{wanted[0]} is not installed"
        remedy = f"To get it: {GETTING[wanted[0]]}" if wanted[0] in GETTING else remedy
        if there:
            remedy += f"; or use one that is here: {', '.join(there)}"
    return BrowserNotFound(
        f"{missing}. Looked for {'; '.join(looked)}. {remedy}; or name a path: executable=... or {VARIABLE}.",
        browsers=list(wanted),
        installed=there,
    )
