"""A repository of the hub with the same files as a DAG, for blocks that no peer has.

The hub is not trusted either. The CID of each file is computed by the profile unixfs-v1-2025, and only a file with the
wanted CID goes into the store, as blocks.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl

from webinfer.core.errors import FetchError, IntegrityError, ModelNotFound
from webinfer.core.progress import ProgressCallback
from webinfer.models.files.content_id import directory_cid, file_cid
from webinfer.models.files.signature import locations
from webinfer.models.files.variants import belongings, choose
from webinfer.models.ipfs.cid import CID
from webinfer.models.ipfs.importer import Importer
from webinfer.models.sources.hub import HubReference
from webinfer.models.sources.hub.fetch import fetch
from webinfer.models.sources.hub.listing import Listing, list_files
from webinfer.models.sources.ipfs.store.block_store import BlockStore

KEY = "hub"  # of ``ipfs://CID?hub=ORG/NAME``
_MAIN = "main"


class HubMirror:
    """The repository that ``?hub=ORG/NAME[@REVISION][/FILE.onnx]`` names.

    Args:
        name: The value of ``hub=``.
        store: Where blocks are kept.
        progress: Called with the bytes fetched.
        precision: One of ``variants.PRECISIONS``; ``None`` for full precision.
        file: The ONNX file that the reference names, if it names one.
        part: The part of a model in several files.

    Raises:
        ModelNotFound: It cannot be the name of a repository.
    """

    def __init__(
        self,
        name: str,
        store: BlockStore,
        progress: ProgressCallback | None,
        *,
        precision: str | None,
        file: str | None,
        part: str | None,
    ) -> None:
        wanted = HubReference.parse(name)
        if wanted is None:
            raise ModelNotFound(f"{name!r} is not ORG/NAME[@REVISION][/FILE.onnx], which {KEY}= takes.", reference=name)
        self._wanted = wanted
        self._store = store
        self._progress = progress
        self._choice = precision, wanted.file or file, part

    def __repr__(self) -> str:
        return f"<HubMirror {self._wanted.repo}>"

    def bring(self, wanted: Mapping[str, CID], error: FetchError) -> None:
        """Bring files of a known directory into the store.

        Args:
            wanted: Their CIDs, by their paths in the repository.
            error: Why no peer gave their blocks.

        Raises:
            FetchError: The hub does not have all of them, or cannot be asked.
            IntegrityError: A file of the hub has another CID.
        """
        listing = self._list(error)
        missing = sorted(wanted.keys() - listing.files.keys())
        if missing:
            raise _unavailable(error, f"{listing.repo!r} on the hub has no {', '.join(missing)}.")
        fetch(listing, wanted, self._progress)
        # All files are checked before the first goes into the store.
        paths = {name: listing.snapshot / name for name in wanted}
        for name, cid in wanted.items():
            if file_cid(paths[name]) != str(cid):
                raise _mismatch(f"{name} of {listing.repo!r}", cid, error)
        for path in paths.values():
            Importer(put=self._store.put).add(path)

    def bring_root(self, root: CID, error: FetchError) -> None:
        """Bring a DAG into the store of which only the CID is known.

        It may be the CID of the ONNX file alone, or of the directory with it and its weights: ``model.cid`` is one of
        both. It may also be that of the directory with all files that the model needs. ``webinfer ipfs add`` prints
        that one for what ``webinfer pull`` fetched.

        Args:
            root: Its CID.
            error: Why no peer gave its block.

        Raises:
            FetchError: The hub has no such model, or cannot be asked.
            IntegrityError: None of the three has that CID.
        """
        listing = self._list(error)
        chosen = choose(listing.files, *self._choice)
        if chosen is None:
            raise _unavailable(error, f"{listing.repo!r} on the hub has no such ONNX file.")
        needed, weights = self._needed(listing, chosen)
        graph = needed[chosen]
        if file_cid(graph) == str(root):
            Importer(put=self._store.put).add(graph)
            return
        for files in ({graph.name: graph} | weights, needed):
            if directory_cid(files) == str(root):
                directory_cid(files, self._store.put)
                return
        raise _mismatch(f"{chosen} of {listing.repo!r}, alone or with what belongs to it,", root, error)

    def _needed(self, listing: Listing, chosen: str) -> tuple[dict[str, Path], dict[str, Path]]:
        """Return a model's files by their paths in the repository, and its weights by their own names."""
        names = [chosen, *belongings(listing.files, chosen)]
        fetch(listing, names, self._progress)
        # Only the graph, which is here now, states where its external data are.
        beside = posixpath.dirname(chosen)
        stated = {
            name: posixpath.normpath(posixpath.join(beside, name)) for name in locations(listing.snapshot / chosen)
        }
        present = {name: path for name, path in stated.items() if path in listing.files}
        fetch(listing, present.values(), self._progress)
        needed = {name: listing.snapshot / name for name in [*names, *present.values()]}
        return needed, {name: listing.snapshot / path for name, path in present.items()}

    def _list(self, error: FetchError) -> Listing:
        try:
            listing = list_files(self._wanted.repo, self._wanted.revision or _MAIN)
        except (FetchError, ModelNotFound) as other:
            raise _unavailable(error, str(other)) from other
        if listing is None:
            raise _unavailable(error, f"There is no {self._wanted.repo!r} on the hub for this user.")
        return listing


def split_mirror(name: str) -> tuple[str, str | None]:
    """Split ``CID[/path]?hub=ORG/NAME`` into the part before the question mark and the repository.

    Args:
        name: The name, without ``ipfs://``.

    Returns:
        The CID and path, and the repository or ``None``.

    Raises:
        ModelNotFound: The query names anything but a repository.
    """
    text, mark, query = name.partition("?")
    if not mark:
        return text, None
    pairs = parse_qsl(query, keep_blank_values=True)
    if [key for key, _ in pairs] != [KEY]:
        raise ModelNotFound(f"After the question mark of {name!r} only {KEY}=ORG/NAME may follow.", reference=name)
    return text, pairs[0][1]


def _unavailable(error: FetchError, why: str) -> FetchError:
    return FetchError(f"{error} The hub cannot help either: {why}", **error.data)


def _mismatch(what: str, cid: CID, error: FetchError) -> IntegrityError:
    return IntegrityError(
        f"{what} has another CID than {cid} by the profile unixfs-v1-2025, so nothing of it is used: "
        f"name the revision that has it ({KEY}=ORG/NAME@REVISION). No peer gave its blocks either. {error}",
        **error.data | {"expected": str(cid)},
    )
