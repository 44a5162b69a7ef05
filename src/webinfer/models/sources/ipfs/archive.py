"""Archives on disk, and checks whether the store has all of a DAG."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webinfer.core.errors import ModelNotFound, StoreError
from webinfer.models.ipfs.car import CarReader, header, section_head
from webinfer.models.ipfs.cid import CID
from webinfer.models.ipfs.frontier import Frontier
from webinfer.models.sources.ipfs.server import walk
from webinfer.models.sources.ipfs.store.block_store import BlockStore, failure

_PIECE = 1 << 20  # bytes read at a time

Tell = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Report:
    """What the store has of a DAG.

    Attributes:
        root: Its root.
        blocks: Blocks that are there and match their hash.
        nbytes: Their size.
        missing: Blocks that are not there, or did not match and were removed. The blocks below them are not known.
    """

    root: CID
    blocks: int
    nbytes: int
    missing: tuple[CID, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "cid": str(self.root),
            "whole": not self.missing,
            "blocks": self.blocks,
            "nbytes": self.nbytes,
            "missing": [str(cid) for cid in self.missing],
        }


def check(store: BlockStore, root: CID, path: str = "") -> Report:
    """Read and hash what the store has of a DAG.

    Args:
        store: Where.
        root: The root.
        path: Only what this path leads to, and the blocks on the way.

    Returns:
        How many blocks were read, and which were missing or damaged.
    """
    sizes: dict[CID, int] = {}

    def find(cid: CID) -> bytes | None:
        data = store.find(cid)
        if data is not None:
            sizes[cid] = len(data)
        return data

    # ``holds`` reads too: a leaf must be hashed here, where a fetch would only ask whether it is there.
    frontier = Frontier(root, path, find, lambda cid: find(cid) is not None)
    return Report(root, len(sizes), sum(sizes.values()), tuple(frontier.wanted))


def export_archive(store: BlockStore, root: CID, path: Path, tell: Tell | None = None) -> int:
    """Write a DAG as an archive, all or nothing.

    Args:
        store: Where its blocks are.
        root: The root.
        path: The archive; there may be nothing yet.
        tell: Called with the bytes of each block.

    Returns:
        The number of blocks.

    Raises:
        FetchError: A block is not in the store.
        StoreError: There is something at the path, or the disk failed.
    """
    if path.exists():
        raise StoreError(f"{path} is there already: remove it, or choose another place.", path=str(path))
    count = 0
    work: Path | None = None
    try:
        # Beside the archive: only within one file system is a file renamed in one step.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.absolute().parent)
        work = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(header((root,)))
            for block in walk(store.get, [root], "all"):
                count += 1
                file.write(section_head(block.cid, len(block.data)))
                file.write(block.data)
                if tell is not None:
                    tell(len(block.data))
        work.chmod(0o644)  # mkstemp makes it private
        work.replace(path)
    except OSError as error:
        raise failure(error, f"write {path}") from error
    finally:
        if work is not None:
            work.unlink(missing_ok=True)
    return count


def import_archive(store: BlockStore, path: Path, tell: Tell | None = None) -> list[Report]:
    """Take the blocks of an archive into the store, each verified.

    Args:
        store: Where they go.
        path: The archive.
        tell: Called with the bytes of each piece.

    Returns:
        For each root of the archive, what the store has of it now.

    Raises:
        ModelNotFound: There is no such file.
        IntegrityError: It is no archive, or a block does not match its hash. What came before it is kept.
        FetchError: It ends in the middle.
        StoreError: It cannot be read, or the store cannot be written.
    """
    reader = CarReader()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                for block in reader.feed(piece):
                    store.put(block)
                if tell is not None:
                    tell(len(piece))
    except FileNotFoundError:
        raise ModelNotFound(f"There is no {path}.", path=str(path)) from None
    except OSError as error:
        raise failure(error, f"read {path}") from error
    reader.finish()
    return [check(store, root) for root in reader.roots or ()]
