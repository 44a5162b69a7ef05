"""From verified blocks to files on disk."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from webinfer.core.errors import InvalidModel, StoreError
from webinfer.models.ipfs.cid import CID
from webinfer.models.ipfs.unixfs import DirectoryEntry, Get, contents, tree
from webinfer.models.sources.ipfs.store.block_store import failure

PART = ".part"  # ends the name of a directory that a file is written in until it is whole


def write(get: Get, cid: CID, path: Path, tell: Callable[[int, int], None] | None = None) -> None:
    """Write a file or directory where nothing is yet.

    Args:
        get: Returns the verified bytes of a block.
        cid: CID of the file or directory.
        path: Its place; the parent exists. For a directory, an empty directory may exist already.
        tell: Called with the bytes written so far, and in all.

    Raises:
        InvalidModel: It holds symbolic links, unsafe names, or two names that are one on this disk.
        StoreError: It does not fit on the disk, or the disk failed.
    """
    entries = list(tree(get, cid))  # all entries are checked before the first byte is written
    total = sum(entry.nbytes for entry in entries)
    _check_space(path, total)
    done = 0
    for entry in entries:
        target = path / entry.path if entry.path else path
        try:
            if entry.node.is_directory:
                target.mkdir(exist_ok=not entry.path)
                continue
            for size in _write_file(get, entry, target):
                done += size
                if tell is not None:
                    tell(done, total)
        except FileExistsError:  # a disk may take names for one that differ in case or in Unicode's forms
            raise InvalidModel(
                f"{cid} has two entries that are both {entry.path!r} on this disk: nothing of it is used.",
                path=entry.path,
            ) from None
        except OSError as error:
            raise failure(error, f"write {target}") from error


def write_whole(get: Get, cid: CID, path: Path, tell: Callable[[int, int], None] | None = None) -> None:
    """Write a file or directory as ``write`` does, all or nothing.

    Args:
        get: Returns the bytes of a block, verified.
        cid: CID of the file or directory.
        path: Its place, where nothing is yet.
        tell: Called with the bytes written so far, and in all.

    Raises:
        StoreError: There is something at the path, or the disk failed.
    """
    if path.exists():
        raise StoreError(f"{path} is there already: remove it, or choose another place.", path=str(path))
    work: str | None = None
    try:
        work = tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PART, dir=path.absolute().parent)
        whole = Path(work) / path.name
        write(get, cid, whole, tell)
        whole.replace(path)
    except OSError as error:
        raise failure(error, f"write {path}") from error
    finally:
        if work is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(work)


def _write_file(get: Get, entry: DirectoryEntry, target: Path) -> Iterator[int]:
    with target.open("xb") as file:
        for piece in contents(get, entry.cid):
            file.write(piece)
            yield len(piece)


def _check_space(path: Path, nbytes: int) -> None:
    """Refuse files that cannot fit: a few small blocks can describe a file of any size.

    Raises:
        StoreError: The disk has too little room.
    """
    free = shutil.disk_usage(path.absolute().parent).free
    if nbytes > free:
        raise StoreError(
            f"{nbytes} bytes are to be written to {path}, and the disk has {free} left: make room there.",
            nbytes=nbytes,
            free=free,
        )
