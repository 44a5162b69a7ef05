"""Models by the hash of their contents: put into the store, fetched from gateways, verified, archived, served."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from webinfer.core.progress import Progress, ProgressCallback
from webinfer.models.ipfs.cid import CID
from webinfer.models.ipfs.dag_pb import decode
from webinfer.models.ipfs.importer import PROFILE, Importer
from webinfer.models.ipfs.unixfs import children, contents
from webinfer.models.sources.ipfs import archive, server
from webinfer.models.sources.ipfs.archive import Report
from webinfer.models.sources.ipfs.gateway import VARIABLE, check_url
from webinfer.models.sources.ipfs.server import LOOPBACK
from webinfer.models.sources.ipfs.source import bring, parse, require_file
from webinfer.models.sources.ipfs.store.block_store import BlockStore
from webinfer.models.sources.ipfs.store.exporter import write_whole

__all__ = [
    "LOOPBACK",
    "PROFILE",
    "VARIABLE",
    "Added",
    "Archived",
    "Item",
    "NodeListing",
    "Report",
    "WrittenFiles",
    "add",
    "export_archive",
    "fetch",
    "import_archive",
    "listing",
    "read",
    "serve",
    "store_directory",
    "verify",
]


@dataclass(frozen=True, slots=True)
class Added:
    """What was put into the store: its CID, and the bytes of its blocks."""

    cid: CID
    nbytes: int


@dataclass(frozen=True, slots=True)
class WrittenFiles:
    """What was written to disk: its CID, and where it is."""

    cid: CID
    path: Path


@dataclass(frozen=True, slots=True)
class Archived:
    """What was written as an archive: its CID, its number of blocks, and the bytes of the file."""

    cid: CID
    blocks: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of a directory. ``nbytes`` counts all its blocks."""

    name: str
    cid: CID
    nbytes: int | None


@dataclass(frozen=True, slots=True)
class NodeListing:
    """A file or directory; the entries of a directory in their order."""

    cid: CID
    is_directory: bool
    nbytes: int | None
    items: tuple[Item, ...]


def add(path: Path, *, hidden: bool = False, follow: bool = False, progress: ProgressCallback | None = None) -> Added:
    """Put a file or directory into the store.

    Args:
        path: The file, or the directory with all below it.
        hidden: Whether files whose names begin with a dot are taken, too.
        follow: Whether what symbolic links lead to is taken.
        progress: Called with the bytes read so far.

    Returns:
        Its CID under the profile ``PROFILE``, and the bytes of its blocks.

    Raises:
        StoreError: Something cannot be read or stored.
    """
    root = Importer(
        put=BlockStore().put, hidden=hidden, follow=follow, tell=_byte_counter(progress, f"add {path.name}")
    ).add(path)
    return Added(root.cid, root.size)


def fetch(
    reference: str,
    output: Path | None = None,
    *,
    gateways: Sequence[str] | None = None,
    progress: ProgressCallback | None = None,
) -> WrittenFiles:
    """Fetch a file or directory, verified, and write it to disk.

    Args:
        reference: A CID, also as ``ipfs://CID``, and a path below it.
        output: Where to; by default a file or directory named by the path or CID.
        gateways: Addresses of trustless gateways; ``None`` for those that the environment names.
        progress: Called with stages and bytes.

    Returns:
        Its CID, and where it was written.

    Raises:
        FetchError: No gateway gave it whole.
        StoreError: It cannot be stored or written.
    """
    root, path = parse(reference)
    store, target = _bring_in(root, path, gateways, progress)
    place = output or Path(path.rpartition("/")[2] or str(root))

    def tell(done: int, total: int | None) -> None:
        if progress is not None:
            progress(Progress(f"write {place.name}", done, total))

    write_whole(store.get, target, place, tell)
    return WrittenFiles(target, place)


def read(
    reference: str, *, gateways: Sequence[str] | None = None, progress: ProgressCallback | None = None
) -> Iterator[bytes]:
    """Return the contents of a file in pieces, after all of it is fetched and verified.

    Args:
        reference: A CID, also as ``ipfs://CID``, and a path below it.
        gateways: Addresses of trustless gateways; ``None`` for those that the environment names.
        progress: Called with stages and bytes.

    Raises:
        FetchError: No gateway gave it whole.
        StoreError: It cannot be stored.
    """
    root, path = parse(reference)
    store, target = _bring_in(root, path, gateways, progress)
    require_file(store, root, path, target)
    return contents(store.get, target)


def listing(
    reference: str, *, gateways: Sequence[str] | None = None, progress: ProgressCallback | None = None
) -> NodeListing:
    """Return what a directory holds, or that it is a file.

    Args:
        reference: A CID, also as ``ipfs://CID``, and a path below it.
        gateways: Addresses of trustless gateways; ``None`` for those that the environment names.
        progress: Called with stages and bytes.

    Raises:
        FetchError: No gateway gave it whole.
        StoreError: It cannot be stored.
    """
    root, path = parse(reference)
    store, target = _bring_in(root, path, gateways, progress)
    node = decode(target, store.get(target))
    links = children(store.get, node) if node.is_directory else ()
    items = tuple(Item(link.name, link.cid, link.size) for link in links)
    return NodeListing(target, node.is_directory, node.size, items)


def verify(reference: str) -> Report:
    """Return a report of every block that the store has of a file or directory. Blocks that do not match are removed.

    Args:
        reference: A CID, also as ``ipfs://CID``, and a path below it.

    Raises:
        StoreError: The store cannot be read.
    """
    root, path = parse(reference)
    return archive.check(BlockStore(), root, path)


def export_archive(
    reference: str,
    file: Path,
    *,
    gateways: Sequence[str] | None = None,
    progress: ProgressCallback | None = None,
) -> Archived:
    """Write a file or directory as one archive of blocks (CARv1).

    Args:
        reference: A CID, also as ``ipfs://CID``, and a path below it.
        file: Where to write the archive.
        gateways: Addresses of trustless gateways; ``None`` for those that the environment names.
        progress: Called with stages and bytes.

    Returns:
        The root's CID, the number of blocks, and the bytes of the file.

    Raises:
        FetchError: No gateway gave it whole.
        StoreError: It cannot be stored or written.
    """
    root, path = parse(reference)
    store, target = _bring_in(root, path, gateways, progress)
    blocks = archive.export_archive(store, target, file, _byte_counter(progress, f"write {file.name}"))
    return Archived(target, blocks, file.stat().st_size)


def import_archive(file: Path, *, progress: ProgressCallback | None = None) -> list[Report]:
    """Take an archive's blocks into the store, each verified.

    Args:
        file: An archive of blocks (CARv1).
        progress: Called with the bytes read so far.

    Returns:
        A report for each root of the archive: what is there, and which blocks are missing.
    """
    return archive.import_archive(BlockStore(), file, _byte_counter(progress, f"read {file.name}"))


def serve(address: str = LOOPBACK, port: int = 8080) -> AbstractAsyncContextManager[str]:
    """Return a context that serves the store as a trustless gateway while it is open, and gives the URL.

    Args:
        address: Address to listen on; ``0.0.0.0`` lets other machines ask.
        port: Port to listen on; 0 takes a free one.
    """
    return server.serving(BlockStore(), address, port)


def store_directory() -> Path:
    """Return the directory of the store."""
    return BlockStore().directory


def _bring_in(
    root: CID, path: str, gateways: Sequence[str] | None, progress: ProgressCallback | None
) -> tuple[BlockStore, CID]:
    """Return the store and the CID at a path, once all blocks of it are in the store."""
    store = BlockStore()
    checked = [check_url(url) for url in gateways] if gateways else None
    return store, bring(root, path, store, gateways=checked, progress=progress)


def _byte_counter(progress: ProgressCallback | None, stage: str) -> Callable[[int], None]:
    """Return a function that adds up bytes and reports the sum."""
    done = 0

    def tell(nbytes: int) -> None:
        nonlocal done
        done += nbytes
        if progress is not None:
            progress(Progress(stage, done))

    return tell
