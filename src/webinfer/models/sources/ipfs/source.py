"""The source ``ipfs://CID[/path][?hub=ORG/NAME]``: models fetched by the hash of their contents."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from webinfer.core.cache import cache_dir
from webinfer.core.errors import FetchError, ModelNotFound
from webinfer.core.progress import Progress, ProgressCallback
from webinfer.models.files.directory import open_path
from webinfer.models.files.package import ModelPackage, describe
from webinfer.models.files.signature import locations
from webinfer.models.files.variants import FOLDER, available, belongings, choose, graphs, parts
from webinfer.models.ipfs.cid import CID, RAW
from webinfer.models.ipfs.dag_pb import decode
from webinfer.models.ipfs.frontier import Frontier
from webinfer.models.ipfs.unixfs import children, resolve, split
from webinfer.models.sources.ipfs.fetch import fetch_several
from webinfer.models.sources.ipfs.gateway import Patience, gateways_here
from webinfer.models.sources.ipfs.hub_mirror import HubMirror, split_mirror
from webinfer.models.sources.ipfs.store.block_store import BlockStore
from webinfer.models.sources.ipfs.store.file_store import FileStore

SCHEME = "ipfs"
_SMALL = 1 << 20  # bytes; smaller files come with a model whatever they are: a chat template, a list of labels
_LONE_FILE = "model.onnx"  # the name of a file that has none, because its CID was given


def open_ipfs(
    name: str,
    reference: str,
    progress: ProgressCallback | None,
    *,
    precision: str | None = None,
    part: str | None = None,
) -> ModelPackage:
    """Fetch a model, unless it is here, and open it. Of a directory only what the model needs is fetched.

    Args:
        name: The reference without ``ipfs:``. ``?hub=ORG/NAME[@REVISION]`` at its end names a repository with the same
            files, which is asked for what no peer has as blocks.
        reference: As the caller named it.
        progress: Called with the bytes fetched and written.
        precision: One of ``variants.PRECISIONS``; ``None`` for full precision.
        part: The part of a model in several files.

    Returns:
        The model, read from files that were checked against their CIDs.

    Raises:
        ModelNotFound: The name is no CID of a file or directory, the path leads nowhere, or there is no such precision.
        InvalidModel: The model cannot be read.
        FetchError: No peer has it, or there is no peer to ask.
        IntegrityError: The peers sent other bytes.
        StoreError: The disk is full.
    """
    text, hub = split_mirror(name)
    root, path = parse(text)
    folder, file = _split_file(path)
    store = BlockStore()
    mirror = None if hub is None else HubMirror(hub, store, progress, precision=precision, file=file, part=part)
    try:
        target = _locate(root, folder, store, progress)
    except FetchError as error:
        ready = _models() / str(root)
        if not folder and not file and ready.is_dir() and not FileStore(ready).changed():
            # Its blocks are no longer in the store, but the files that were written from them are unchanged.
            package = open_path(ready, reference, precision=precision, part=part)
            return replace(package, origin=f"{SCHEME}://{root}", cached=True)
        if mirror is None or folder:  # a mirror has the root's own files, not those of a folder below it
            raise
        mirror.bring_root(root, error)
        target = _locate(root, folder, store, progress)
    short = folder.rpartition("/")[2] or str(root)
    if _is_file(store, target):
        package = open_path(_write_lone_file(store, target, progress, mirror), reference, short, part=part)
        return replace(package, origin=f"{SCHEME}://{root}", cached=not store.added)
    files = _list_files(store, target)
    chosen = choose(files, precision, file, part)
    if chosen is None:
        others = ", ".join(available(files, file, part)) or ", ".join(graphs(files)) or "no ONNX file"
        wanted = " in ".join(filter(None, (file or part or "model", precision)))
        raise ModelNotFound(f"{reference} has no {wanted}, only {others}.", reference=reference)
    place = _write_model(store, target, files, chosen, progress, mirror) / chosen
    package = describe(place, reference, place.stem if file else short)
    precisions = tuple(available(files, file, part))
    return replace(
        package, origin=f"{SCHEME}://{root}", cached=not store.added, available=precisions, parts=parts(files)
    )


def names() -> list[str]:
    """Return no names: nobody can list all CIDs. See ``fetched``."""
    return []


def fetched() -> dict[str, Path]:
    """Return the directories of the models that were fetched before, by reference."""
    places = [path for path in sorted(_models().glob("ba*")) if next(path.rglob("*.onnx"), None) is not None]
    return {f"{SCHEME}://{path.name}": path for path in places}


def is_own(reference: str) -> bool:
    """Return whether a reference is one of this source's.

    Args:
        reference: A reference to a model.
    """
    return reference.startswith(f"{SCHEME}:")


def forget(root: str, store: BlockStore | None = None) -> int:
    """Remove a model's blocks from the store, except those that it shares with other models here.

    Args:
        root: Its CID.
        store: The store; ``None`` takes the one in the cache directory.

    Returns:
        Bytes of the blocks that were removed.
    """
    store = store or BlockStore()
    others = {cid for name in fetched() for cid in _below(store, CID.parse(name.removeprefix(f"{SCHEME}://")))}
    return sum(store.remove(cid) for cid in _below(store, CID.parse(root)) - others)


def _below(store: BlockStore, root: CID) -> set[CID]:
    """Return the blocks of a DAG that are here."""
    blocks: set[CID] = set()
    waiting = [root]
    while waiting:
        cid = waiting.pop()
        if cid in blocks or not store.holds(cid):
            continue
        blocks.add(cid)
        if cid.codec != RAW:
            waiting += [link.cid for link in decode(cid, store.get(cid)).links]
    return blocks


def parse(reference: str) -> tuple[CID, str]:
    """Split a reference, with or without ``ipfs://`` or ``/ipfs/``, into a CID and a path.

    Args:
        reference: What a user gave.

    Returns:
        The CID, and the path below it; empty for none.

    Raises:
        ModelNotFound: It begins with no CID, or its path could lead out.
    """
    text = reference.removeprefix(f"{SCHEME}:").removeprefix("//").removeprefix("/ipfs/")
    cid, _, path = text.partition("/")
    return CID.parse(cid), "/".join(split(unquote(path)))


def bring(
    root: CID,
    path: str,
    store: BlockStore,
    *,
    gateways: Sequence[str] | None = None,
    patience: Patience | None = None,
    progress: ProgressCallback | None = None,
    listing: bool = False,
) -> CID:
    """Bring a DAG, or what a path in it leads to, into the store; see ``bring_several``.

    Args:
        root: CID of the DAG.
        path: Path below it; empty for all of it.
        store: Where the blocks go.
        gateways: Addresses to fetch from; ``None`` for the usual ones.
        patience: How long to wait for gateways; ``None`` for the usual times.
        progress: Called with stages and bytes.
        listing: Of a directory, fetch only the blocks that hold its names.

    Returns:
        What the path leads to.

    Raises:
        FetchError: No gateway gave it whole.
        StoreError: The disk failed.
    """
    several = bring_several(
        root, [path], store, gateways=gateways, patience=patience, progress=progress, listing=listing
    )
    return several[0]


def bring_several(
    root: CID,
    paths: Sequence[str],
    store: BlockStore,
    *,
    gateways: Sequence[str] | None = None,
    patience: Patience | None = None,
    progress: ProgressCallback | None = None,
    listing: bool = False,
    apart: bool = False,
) -> list[CID]:
    """Bring what paths in a DAG lead to into the store. Blocks; an event loop may run in the calling thread.

    Args:
        root: The root.
        paths: Each names, separated by slashes; an empty one leads to the root. They are fetched side by side.
        store: Where blocks are kept.
        gateways: Addresses of trustless gateways; ``None`` takes those of ``WEBINFER_IPFS_GATEWAYS``.
        patience: How long to wait.
        progress: Called with the bytes that came.
        listing: Of a directory, fetch only the blocks that hold its names.
        apart: Bring all paths that can be had before an error is raised.

    Returns:
        What each path leads to.
    """
    chosen = gateways_here() if gateways is None else gateways
    work = fetch_several(
        root, paths, store, gateways=chosen, patience=patience, progress=progress, listing=listing, apart=apart
    )
    # A thread that runs a loop cannot run another one, so the work goes to a thread of its own there.
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _split_file(path: str) -> tuple[str, str | None]:
    """Return the model's directory, above ``onnx``, and the ONNX file that a path names, if it names one."""
    if not path.endswith(".onnx"):
        return path, None
    folder, _, file = path.rpartition("/")
    if folder.rpartition("/")[2] == FOLDER:
        return folder.rpartition("/")[0], f"{FOLDER}/{file}"
    return folder, file


def _locate(root: CID, folder: str, store: BlockStore, progress: ProgressCallback | None) -> CID:
    """Return the CID at a path. Of a directory, fetch its names, and those of ``onnx`` in it."""
    target = bring(root, folder, store, progress=progress, listing=True)
    node = decode(target, store.get(target))
    if node.is_directory and any(link.name == FOLDER for link in children(store.get, node)):
        bring(target, FOLDER, store, listing=True)
    return target


def _list_files(store: BlockStore, target: CID) -> dict[str, int]:
    """Return the files of a directory and of ``onnx`` in it, with the bytes of their blocks."""
    files = {link.name: link.size for link in children(store.get, decode(target, store.get(target)))}
    if files.pop(FOLDER, None) is not None:
        inner = resolve(store.get, target, FOLDER)[-1]
        node = decode(inner, store.get(inner))
        if node.is_directory:
            files |= {f"{FOLDER}/{link.name}": link.size for link in children(store.get, node)}
    return files


def _write_model(
    store: BlockStore,
    target: CID,
    files: Mapping[str, int],
    chosen: str,
    progress: ProgressCallback | None,
    mirror: HubMirror | None,
) -> Path:
    """Return the directory in the cache that holds a model's files, once the missing ones are fetched."""
    place = FileStore(_models() / str(target))
    small = [name for name, nbytes in files.items() if nbytes <= _SMALL and not name.endswith(".onnx")]
    with place.lock():
        # Twice, since only the graph itself tells where its external data are.
        _bring_files(store, target, [chosen, *belongings(files, chosen), *small], place, progress, mirror)
        beside = posixpath.dirname(chosen)
        stated = ["/".join(split(posixpath.join(beside, location))) for location in locations(place.directory / chosen)]
        _bring_files(store, target, stated, place, progress, mirror)
    return place.directory


def _bring_files(
    store: BlockStore,
    target: CID,
    names: Sequence[str],
    place: FileStore,
    progress: ProgressCallback | None,
    mirror: HubMirror | None,
) -> None:
    missing = [name for name in dict.fromkeys(names) if name and not place.holds(name)]
    try:
        bring_several(target, missing, store, progress=progress, apart=mirror is not None)
    except FetchError as error:
        if mirror is None:
            raise
        absent = [name for name in missing if Frontier(target, name, store.find, store.holds).wanted]
        mirror.bring({name: resolve(store.get, target, name)[-1] for name in absent}, error)
    for name in missing:
        cid = resolve(store.get, target, name)[-1]
        if not decode(cid, store.get(cid)).is_directory:
            place.write(store.get, cid, name, _write_progress(name, progress))


def _write_lone_file(
    store: BlockStore, target: CID, progress: ProgressCallback | None, mirror: HubMirror | None
) -> Path:
    """Return the directory in the cache that holds one file, fetched by its own CID and so without a name.

    Raises:
        FetchError: No peer has it, and there is no mirror.
    """
    place = FileStore(_models() / str(target))
    with place.lock():
        if not place.holds(_LONE_FILE):
            try:
                bring(target, "", store, progress=progress)
            except FetchError as error:
                if mirror is None:
                    raise
                mirror.bring_root(target, error)
            place.write(store.get, target, _LONE_FILE, _write_progress(str(target), progress))
    return place.directory


def _write_progress(what: str, progress: ProgressCallback | None) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(Progress(f"write {what}", done, total))

    return tell


def require_file(store: BlockStore, root: CID, path: str, target: CID) -> None:
    """Refuse a directory where a file is due.

    Args:
        store: Where the blocks are.
        root: Where the path begins, for the error.
        path: The path, for the error.
        target: CID of what it leads to.

    Raises:
        ModelNotFound: It is a directory.
    """
    if not _is_file(store, target):
        raise ModelNotFound(f"{root}{'/' + path if path else ''} is a directory, not a file.", cid=str(target))


def _is_file(store: BlockStore, cid: CID) -> bool:
    return decode(cid, store.get(cid)).is_file


def _models() -> Path:
    return cache_dir() / SCHEME / "models"
