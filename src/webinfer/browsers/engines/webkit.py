"""How browsers of the WebKit family are started: WebKitGTK's MiniBrowser, on Linux."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.engines.launch_plan import LaunchPlan, Machine, environment
from webinfer.core.errors import LaunchFailed

_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")

# Neither a desktop's settings nor its accessibility bus, and no look for video plugins in each new home.
_QUIET = {
    "GSETTINGS_BACKEND": "memory",
    "GIO_USE_VFS": "local",
    "GST_PLUGIN_SYSTEM_PATH_1_0": "",
    "GTK_A11Y": "none",
    "NO_AT_BRIDGE": "1",
}

# Nobody looks at the page, and the X server has no GPU: a quarter of each process's memory goes into compositing.
_UNSEEN = {
    "GDK_BACKEND": "x11",
    "LIBGL_ALWAYS_SOFTWARE": "1",
    "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
    "WEBKIT_DISABLE_DMABUF_RENDERER": "1",
}

_SCREEN = "800x600x24"
_COOKIE = "MIT-MAGIC-COOKIE-1"
_FAMILY_LOCAL = "\x01\x00"  # FamilyLocal of <X11/Xauth.h>, big-endian as all numbers in that file.


def plan_webkit(
    installation: Installation,
    url: str,
    home: Path,
    *,
    headless: bool,
    args: tuple[str, ...],
    machine: Machine,
    inherited: Mapping[str, str],
) -> LaunchPlan:
    """Plan the launch of a MiniBrowser. See ``Planner``.

    It cannot do without a display. Without a window it gets an X server of its own, which keeps the screen in memory.

    Args:
        installation: The browser.
        url: The page to open.
        home: Directory of this launch.
        headless: Whether it runs without a window.
        args: Arguments of the user's.
        machine: What the machine has.
        inherited: The environment.

    Returns:
        Command, environment and files.

    Raises:
        LaunchFailed: There is no X server to start, or no desktop for a window.
    """
    env = {**environment(home, inherited, headless=headless), **_QUIET}
    if machine.root:
        env["WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS"] = "1"  # It refuses to start as the superuser.
    argv = (str(installation.executable), "--private", *args, url)
    if not headless:
        _require_desktop(installation, inherited)
        return LaunchPlan(argv, env)
    for name in _DISPLAYS:
        env.pop(name, None)
    keys = home / "Xauthority"
    env |= {**_UNSEEN, "XAUTHORITY": str(keys)}
    return LaunchPlan(argv, env, {keys: _make_key()}, _x_server(installation, inherited, keys))


def _require_desktop(installation: Installation, inherited: Mapping[str, str]) -> None:
    if not any(inherited.get(name) for name in _DISPLAYS):
        raise LaunchFailed(
            f"{installation.name} cannot show a window: {' and '.join(_DISPLAYS)} are not set. Use headless=True.",
            browser=installation.name,
        )


def _x_server(installation: Installation, inherited: Mapping[str, str], keys: Path) -> tuple[str, ...]:
    """Return the command of an X server that listens on an abstract socket only, so that it never leaves a file.

    Raises:
        LaunchFailed: There is none on PATH.
    """
    executable = shutil.which("Xvfb", path=inherited.get("PATH"))
    if executable is None:
        raise LaunchFailed(
            f"{installation.name} needs the X server Xvfb to do without a window, and it is not on PATH. Install it "
            "(apt-get install xvfb), or use headless=False on a desktop.",
            browser=installation.name,
        )
    return (
        *(executable, "-screen", "0", _SCREEN, "-auth", str(keys)),
        *("-nolisten", "tcp", "-nolisten", "unix"),
        "-noreset",
    )


def _make_key() -> str:
    """Return the file with the only key to the X server: without one, any local user could look at the page."""
    fields = (os.uname().nodename, "", _COOKIE, secrets.token_urlsafe(12))  # Of host, display, name, and 16 characters.
    return _FAMILY_LOCAL + "".join(f"\x00{chr(len(field))}{field}" for field in fields)
