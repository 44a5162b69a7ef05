"""The source ``ipfs://CID[/path]``: models fetched by the hash of their contents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

from webinfer.cache import cache_dir, claim
from webinfer.errors import ModelNotFound
from webinfer.models.directory import open_path
from webinfer.models.ipfs.cid import CID, RAW
from webinfer.models.ipfs.dagpb import decode
from webinfer.models.ipfs.export import write
from webinfer.models.ipfs.fetch import fetch
from webinfer.models.ipfs.gateway import Patience, gateways_here
from webinfer.models.ipfs.store import Store
from webinfer.models.ipfs.unixfs import split
from webinfer.models.package import ModelPackage
from webinfer.progress import Progress, ProgressCallback

SCHEME = "ipfs"
_LONE_FILE = "model.onnx"  # the name of a file that has none, because its CID was given


def open_ipfs(name: str, reference: str, progress: ProgressCallback | None, *, part: str | None = None) -> ModelPackage:
    """Fetch a model, unless it is here, and open it.

    Args:
        name: The reference without ``ipfs:``.
        reference: As the caller named it.
        progress: Told of the bytes fetched and written.
        part: Which part of a model in several files.

    Raises:
        ModelNotFound: This is no CID of a file or directory, or the path leads nowhere.
        InvalidModel: It is there and cannot be read.
        FetchError: Nobody has it, or nobody was named who could.
        IntegrityError: Those who have it sent other bytes.
        StoreError: The disk is full.
    """
    root, path = parse(name)
    if path.endswith(".onnx"):  # its weights and configuration lie beside it
        return open_path(materialize(root, "", progress=progress) / path, reference, part=part)
    target = materialize(root, path, progress=progress)
    return open_path(target, reference, path.rpartition("/")[2] or str(root), part=part)


def names() -> list[str]:
    """Return nothing: what there is under all CIDs cannot be listed. See ``fetched``."""
    return []


def fetched() -> dict[str, Path]:
    """Return the models that were fetched before and lie ready: directories by reference."""
    return {f"{SCHEME}://{path.name}": path for path in sorted(_models().glob("ba*"))}


def is_own(reference: str) -> bool:
    """Tell whether a reference is one of this source's."""
    return reference.startswith(f"{SCHEME}:")


def forget(root: str, store: Store | None = None) -> int:
    """Remove the blocks of a model from the store, but for those that other models here have in common with it.

    Args:
        root: Its CID.
        store: Where they are; ``None`` takes the one in the cache directory.

    Returns:
        The bytes freed.
    """
    store = store or Store()
    others = {cid for name in fetched() for cid in _below(store, CID.parse(name.removeprefix(f"{SCHEME}://")))}
    return sum(store.remove(cid) for cid in _below(store, CID.parse(root)) - others)


def _below(store: Store, root: CID) -> set[CID]:
    """Return the blocks of a DAG that are here."""
    found: set[CID] = set()
    waiting = [root]
    while waiting:
        cid = waiting.pop()
        if cid in found or not store.holds(cid):
            continue
        found.add(cid)
        if cid.codec != RAW:
            waiting += [link.cid for link in decode(cid, store.get(cid)).links]
    return found


def parse(reference: str) -> tuple[CID, str]:
    """Split a reference, with or without ``ipfs://`` or ``/ipfs/``, into a CID and a path.

    Raises:
        ModelNotFound: It begins with no CID, or its path could lead out.
    """
    text = reference.removeprefix(f"{SCHEME}:").removeprefix("//").removeprefix("/ipfs/")
    cid, _, path = text.partition("/")
    return CID.parse(cid), "/".join(split(unquote(path)))


def bring(
    root: CID,
    path: str,
    store: Store,
    *,
    gateways: Sequence[str] | None = None,
    patience: Patience | None = None,
    progress: ProgressCallback | None = None,
) -> CID:
    """Bring a DAG, or what a path in it leads to, into the store. Blocks; an event loop may run in the calling thread.

    Args:
        root: The root.
        path: Names, separated by slashes.
        store: Where blocks are kept.
        gateways: Addresses of trustless gateways; ``None`` takes those of ``WEBINFER_IPFS_GATEWAYS``.
        patience: How long to wait.
        progress: Told of the bytes that came.

    Returns:
        What the path leads to.
    """
    chosen = gateways_here() if gateways is None else gateways
    work = fetch(root, path, store, gateways=chosen, patience=patience, progress=progress)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def materialize(
    root: CID, path: str, *, gateways: Sequence[str] | None = None, progress: ProgressCallback | None = None
) -> Path:
    """Return a directory in the cache with the files of a DAG, fetched where they are not here.

    Args:
        root: The root.
        path: Names, separated by slashes, to what is wanted.
        gateways: Addresses of trustless gateways; ``None`` takes those of ``WEBINFER_IPFS_GATEWAYS``.
        progress: Told of the bytes fetched and written.

    Returns:
        The directory; for the CID of a file, one with nothing but the file.
    """
    ready = _models() / str(root)
    if not path and ready.exists():
        return ready
    store = Store()
    target = bring(root, path, store, gateways=gateways, progress=progress)

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(Progress(f"write {target}", done, total))

    directory = _models() / str(target)
    with claim(directory) as work:
        if work is not None:
            write(store.get, target, work / _LONE_FILE if _is_file(store, target) else work, tell)
    return directory


def require_file(store: Store, root: CID, path: str, target: CID) -> None:
    """Refuse a directory where a file is due.

    Raises:
        ModelNotFound: It is a directory.
    """
    if not _is_file(store, target):
        raise ModelNotFound(f"{root}{'/' + path if path else ''} is a directory, not a file.", cid=str(target))


def _is_file(store: Store, cid: CID) -> bool:
    return decode(cid, store.get(cid)).is_file


def _models() -> Path:
    return cache_dir() / SCHEME / "models"
