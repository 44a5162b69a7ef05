"""The cache directory: where downloads and built models are kept, safely for several processes at once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs
from filelock import FileLock

from webinfer.core.errors import OptionError
from webinfer.core.json import write_json

_CHUNK = 1 << 20  # Bytes hashed at a time: large enough that Python's share is nothing, small enough for any memory.
_VALID = re.compile(r"[0-9a-f]{64}|b[a-z2-7]{58} \d+")  # SHA-256; CID and size. Nothing else comes from here.
_STEP = 2.0  # Seconds: FAT's, the longest. Others have some milliseconds.
_REMEMBERED = 4096  # Files whose hash is remembered; the oldest are forgotten first.


def cache_dir() -> Path:
    """Return the cache directory, made if it is missing.

    Returns:
        The directory named by the environment variable ``WEBINFER_CACHE``, else the platform's own place for caches.

    Raises:
        OptionError: It cannot be made.
    """
    named = os.environ.get("WEBINFER_CACHE")
    path = (
        Path(named).expanduser().absolute() if named else Path(platformdirs.user_cache_dir("webinfer", appauthor=False))
    )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"The cache directory {path} cannot be made ({error.strerror}): set WEBINFER_CACHE to one that can."
        raise OptionError(why, option="WEBINFER_CACHE") from error
    return path


@contextlib.contextmanager
def claim(path: Path) -> Iterator[Path | None]:
    """Make the directory ``path`` once, whole or not at all, however many processes want it.

    The first to come gets an empty directory to fill. It is renamed to ``path`` when the block ends, or removed if the
    block ends with an exception. Those who come meanwhile wait. Where ``path`` exists there is nothing to do::

        with claim(target) as work:
            if work is not None:
                (work / "model.onnx").write_bytes(...)

    Args:
        path: The directory to make.

    Yields:
        The directory to fill, beside ``path``, or ``None`` when ``path`` exists already.
    """
    if path.exists():  # What exists is complete, so there is no need to wait for anybody.
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / f".{path.name}.lock"):
        if path.exists():
            yield None
            return
        _remove_abandoned(path)
        work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        try:
            yield work
            work.chmod(0o755)  # mkdtemp makes it private.
            work.replace(path)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's contents, remembered as long as the file does not change.

    Args:
        path: The file, read in pieces.

    Returns:
        The digest in hexadecimal.
    """
    return remembered("", path, _sha256)


def remembered(kind: str, path: Path, make: Callable[[Path], str]) -> str:
    """Return what was made of a file's contents, and make it anew once the file has changed.

    A file is taken for the same while its place, size and times are. The time of its last change of status counts, too,
    which programs cannot set. A file that changed a moment ago may change again without its times telling, as these
    have steps: of such a file nothing is remembered.

    Args:
        kind: What is made; the empty kind is SHA-256.
        path: The file.
        make: Makes it.
    """
    key = _key(kind, path)
    known = _recall().get(key)
    if known is None:
        known = make(path)
        if _key(kind, path) == key and _has_settled(path):
            _remember(key, known)
    return known


def _key(kind: str, path: Path) -> str:
    status = path.stat()
    return f"{kind}{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}|{status.st_ino}"


def _has_settled(path: Path) -> bool:
    """Return whether a file last changed longer ago than a step of any file system's clock."""
    return time.time() - path.stat().st_ctime > _STEP


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _remove_abandoned(path: Path) -> None:
    """Remove what a process left that died while it held the lock; whoever holds the lock is alone."""
    for abandoned in path.parent.glob(f".{path.name}.*.part"):
        shutil.rmtree(abandoned, ignore_errors=True)


def _memory() -> Path:
    return cache_dir() / "hashes.json"


def _recall() -> dict[str, str]:
    try:
        known = json.loads(_memory().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # Missing, unreadable or corrupt: the hashes are made again.
    if not isinstance(known, dict):
        return {}
    return {key: value for key, value in known.items() if isinstance(value, str) and _VALID.fullmatch(value)}


def _remember(key: str, digest: str) -> None:
    memory = _memory()
    with contextlib.suppress(OSError), FileLock(memory.with_suffix(".lock")):
        known = _recall()
        known[key] = digest
        write_json(memory, dict(list(known.items())[-_REMEMBERED:]))
