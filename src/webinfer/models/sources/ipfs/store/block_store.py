"""Blocks on disk, each in a file named by its hash.

A block is hashed before its file gets its name, and again when a process first reads it. After that it is hashed only
when the file changes. So neither another process, nor a crash, nor a worn disk can pass off other bytes. Several
processes may use one store: a file gets its name in one step, and files of one name have the same bytes.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import tempfile
from pathlib import Path

from webinfer.core.cache import cache_dir
from webinfer.core.errors import FetchError, StoreError
from webinfer.models.ipfs.block import Block, verify
from webinfer.models.ipfs.cid import CID

_PART = ".part"  # ends the name of a file that is being written

_Stamp = tuple[int, int, int, int]  # size, times of change, inode


class BlockStore:
    """A directory of verified blocks.

    Args:
        directory: The directory, made when the first block comes; ``None`` takes the one in the cache directory.

    Attributes:
        added: Blocks that were not there before this store was given them.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory if directory is not None else cache_dir() / "ipfs" / "blocks"
        self.added = 0
        self._hashed: dict[Path, _Stamp] = {}

    def __repr__(self) -> str:
        return f"<BlockStore {self.directory}>"

    def holds(self, cid: CID) -> bool:
        """Return whether a block is here, without reading it.

        Args:
            cid: Its CID.
        """
        return cid.inline is not None or self._path(cid).exists()

    def size(self, cid: CID) -> int:
        """Return the bytes of a block, without reading it.

        Args:
            cid: Its CID.

        Raises:
            FetchError: It is not here.
        """
        try:
            return len(cid.inline) if cid.inline is not None else self._path(cid).stat().st_size
        except OSError as error:
            raise FetchError(f"Block {cid} is not in the store {self.directory}.", cid=str(cid)) from error

    def find(self, cid: CID) -> bytes | None:
        """Return the verified bytes of a block, or ``None`` if it is not here.

        A file whose bytes have changed is removed, and counts as missing.

        Args:
            cid: Its CID.

        Raises:
            StoreError: The file cannot be read.
        """
        if cid.inline is not None:
            return cid.inline
        path = self._path(cid)
        try:
            with path.open("rb") as file:
                # Before reading: a change meanwhile gives the file another stamp, so it is hashed again next time.
                stamp = _stamp(os.fstat(file.fileno()))
                data = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failure(error, f"read block {cid} from {path}") from error
        if self._hashed.get(path) == stamp and len(data) == stamp[0]:
            return data
        if cid.names(data):
            self._hashed[path] = stamp
            return data
        path.unlink(missing_ok=True)
        return None

    def get(self, cid: CID) -> bytes:
        """Return the verified bytes of a block.

        Args:
            cid: Its CID.

        Raises:
            FetchError: It is not here.
            StoreError: It cannot be read.
        """
        data = self.find(cid)
        if data is None:
            raise FetchError(
                f"Block {cid} is not in the store {self.directory}: fetch what it belongs to with 'webinfer ipfs get'.",
                cid=str(cid),
            )
        return data

    def put(self, block: Block) -> None:
        """Verify a block and keep it.

        Args:
            block: The block, unverified.

        Raises:
            IntegrityError: Its bytes are not those that its CID names.
            StoreError: The disk is full or cannot be written. No part of the block stays.
        """
        verify(block)
        path = self._path(block.cid)
        if block.cid.inline is not None or path.exists():
            return
        try:
            self._hashed[path] = _write(path, block.data, self.directory)
            self.added += 1
        except OSError as error:
            raise failure(error, f"keep block {block.cid} in {self.directory}") from error

    def remove(self, cid: CID) -> int:
        """Remove a block, if it is here.

        Args:
            cid: Its CID.

        Returns:
            Size of the block's file in bytes; 0 where there was none.
        """
        if cid.inline is not None:
            return 0
        path = self._path(cid)
        try:
            freed = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return freed

    def _path(self, cid: CID) -> Path:
        """Return the file of a multihash: the same bytes have one file, whatever their codec."""
        name = base64.b32encode(cid.multihash).decode().lower().rstrip("=")
        # Folders by the last letter but one: base32's last letter holds the few bits that are left over.
        return self.directory / name[-2] / name


def _write(path: Path, data: bytes, beside: Path) -> _Stamp:
    """Write a file under another name, then give it its own in one step. Directories are made where one is missing.

    Returns:
        The size and time of the file.
    """
    try:
        handle, work = tempfile.mkstemp(suffix=_PART, dir=beside)
    except FileNotFoundError:
        beside.mkdir(parents=True, exist_ok=True)
        handle, work = tempfile.mkstemp(suffix=_PART, dir=beside)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        try:
            Path(work).replace(path)
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)
            Path(work).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(work).unlink(missing_ok=True)
        raise
    return _stamp(path.stat())  # now, since its new name changes its times


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def failure(error: OSError, doing: str) -> StoreError:
    """Return our error for one of a disk.

    Args:
        error: What the operating system raised.
        doing: The action that failed, such as "read a block".

    Returns:
        The error, to be raised.
    """
    remedy = (
        "The disk is full: make room, or set WEBINFER_CACHE to a directory on another disk."
        if error.errno in (errno.ENOSPC, errno.EDQUOT)
        else "Check the disk and who may write there, or set WEBINFER_CACHE to another directory."
    )
    return StoreError(f"Could not {doing}: {error.strerror or error}. {remedy}", errno=error.errno)
