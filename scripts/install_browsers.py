"""Install the browsers that the tests drive, and print the names of those that this machine can run.

The embedded Chromium comes by itself. Debian's Chromium, Firefox, a Vulkan driver in software, WebKitGTK and an X
server in memory come from the system's package manager, which this script calls only where it may: on Debian, as
root. Elsewhere it says what to install. Standard output (``embedded,chromium,firefox,webkit``) is meant for
WEBINFER_REQUIRE_BROWSERS; all else goes to standard error.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from webinfer.browsers.discovery.find import find
from webinfer.browsers.install.download import install_chromium
from webinfer.core.errors import BrowserNotFound, InstallFailed
from webinfer.core.options import BrowserName

DEBIAN: dict[BrowserName, tuple[str, ...]] = {
    "chromium": ("chromium",),
    "firefox": ("firefox-esr", "mesa-vulkan-drivers"),
    "webkit": ("libwebkit2gtk-4.1-0", "xvfb"),
}
VULKAN_DRIVERS = (Path("/usr/share/vulkan/icd.d"), Path("/etc/vulkan/icd.d"))


def main() -> None:
    """Bring what is missing, then print what is there."""
    say("==> browsers")
    if not is_found("embedded"):
        install_embedded()
    missing = [name for name in DEBIAN if not is_usable(name)]
    if missing:
        install_packages(missing)
    usable = [name for name in ("embedded", *DEBIAN) if is_usable(name)]
    if not usable:
        sys.exit("There is no browser to test with.")
    print(",".join(usable))


def install_embedded() -> None:
    """Install the embedded Chromium, which there is for Linux on x86-64 only."""
    try:
        install_chromium()
    except InstallFailed as error:
        if sys.platform == "linux" and platform.machine() == "x86_64":
            sys.exit(str(error))
        say(f"The embedded Chromium is missing, so its tests skip: {error}")


def install_packages(names: list[BrowserName]) -> None:
    """Install browsers by the system's package manager, or say that they are needed."""
    packages = [package for name in names for package in DEBIAN[name]]
    command = f"apt-get install {' '.join(packages)}"
    if not is_debian() or os.geteuid() != 0:
        say(f"What {' and '.join(names)} need is missing, so their tests skip. On Debian, as root: {command}")
        return
    say(f"==> {command}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in ("update", "-qq"), ("install", "-y", "-qq", "--no-install-recommends", *packages):
        done = subprocess.run(["apt-get", *arguments], stdout=sys.stderr, env=environment, check=False)
        if done.returncode:
            sys.exit(f"`apt-get {' '.join(arguments)}` failed; the tests need {' and '.join(packages)}.")


def is_usable(name: BrowserName) -> bool:
    """Whether a browser is there, and on Linux what it needs.

    Without a Vulkan driver, Firefox's WebGPU finds no adapter; without an X server, WebKitGTK does not start.
    """
    if name == "firefox" and sys.platform == "linux":
        return is_found(name) and any(any(place.glob("*.json")) for place in VULKAN_DRIVERS)
    if name == "webkit":
        return is_found(name) and shutil.which("Xvfb") is not None
    return is_found(name)


def is_debian() -> bool:
    try:
        return platform.freedesktop_os_release().get("ID") == "debian"
    except OSError:
        return False


def is_found(name: BrowserName) -> bool:
    try:
        find(name)
    except BrowserNotFound:
        return False
    return True


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
