"""Files written from verified blocks, each known by the SHA-256 that it was written with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from webinfer.core.cache import hash_file
from webinfer.core.json import write_json
from webinfer.models.ipfs.cid import CID
from webinfer.models.ipfs.unixfs import Get
from webinfer.models.sources.ipfs.store.block_store import failure
from webinfer.models.sources.ipfs.store.exporter import PART, write_whole


class FileStore:
    """A directory in the cache with files of one DAG. A file that has changed since it was written counts as missing.

    Args:
        directory: The directory. The hashes lie beside it, so that it holds only the DAG's own files.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._note = directory.with_name(f".{directory.name}.json")

    def __repr__(self) -> str:
        return f"<FileStore {self.directory} {len(self._hashes())} files>"

    def lock(self) -> FileLock:
        """Return the lock that a writer holds, and make the directory."""
        self.directory.mkdir(parents=True, exist_ok=True)
        return FileLock(self.directory.with_name(f".{self.directory.name}.lock"))

    def holds(self, name: str) -> bool:
        """Return whether a file is here and unchanged.

        Args:
            name: Name of the file.
        """
        path = self.directory / name
        return path.is_file() and self._hashes().get(name) == hash_file(path)

    def changed(self) -> list[str]:
        """Return the names of the files that were changed, or were not written by this store."""
        files = [path for path in self.directory.rglob("*") if path.is_file() and path.parent.suffix != PART]
        names = [path.relative_to(self.directory).as_posix() for path in files]
        return sorted(name for name in names if not self.holds(name))

    def write(self, get: Get, cid: CID, name: str, tell: Callable[[int, int], None] | None = None) -> None:
        """Write a file, in place of an earlier one.

        Args:
            get: Returns the verified bytes of a block.
            cid: The file.
            name: Its path below the directory.
            tell: Called with the bytes written so far, and in all.

        Raises:
            StoreError: The disk is full or cannot be written.
        """
        path = self.directory / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            write_whole(get, cid, path, tell)
            self._remember(name, hash_file(path))  # last, so that a file counts only once it is whole
        except OSError as error:
            raise failure(error, f"write {path}") from error

    def _hashes(self) -> dict[str, str]:
        try:
            known = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # missing or corrupt: the files are written again
        return known if isinstance(known, dict) else {}

    def _remember(self, name: str, sha256: str) -> None:
        write_json(self._note, self._hashes() | {name: sha256})
