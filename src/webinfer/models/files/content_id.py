"""The content identifier of a model: the same files have the same one everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from webinfer.core.cache import remembered
from webinfer.models.ipfs.cid import CID
from webinfer.models.ipfs.dag_pb import Link
from webinfer.models.ipfs.importer import Importer, Put


def model_cid(files: Mapping[str, Path]) -> str:
    """Return the CID of a model, by the profile unixfs-v1-2025: what ``webinfer ipfs add`` prints for it.

    Args:
        files: Its files, by the names that the graph has for them. One file has the CID of its contents; several have
            the CID of the directory that holds only them.
    """
    return file_cid(next(iter(files.values()))) if len(files) == 1 else directory_cid(files)


def file_cid(path: Path) -> str:
    """Return the CID of a file, by the same profile.

    Args:
        path: The file.

    Returns:
        Its CID, as text.
    """
    return str(_file(path, "").cid)


def directory_cid(files: Mapping[str, Path], put: Put | None = None) -> str:
    """Return the CID of a directory that holds only these files, by the same profile.

    Args:
        files: The files by their paths in it, with slashes.
        put: Takes the blocks, those of the files as well; ``None`` where only the CID is wanted.
    """
    return str(_directory(files, put).cid)


def _file(path: Path, name: str, put: Put | None = None) -> Link:
    """Return a link to a file, remembered as long as the file does not change."""
    if put is not None:  # a remembered CID has no blocks to give
        link = Importer(put=put).add(path)
        return Link(link.cid, name, link.size)
    cid, _, size = remembered("cid:", path, _imported).partition(" ")
    return Link(CID.parse(cid), name, int(size))


def _imported(path: Path) -> str:
    link = Importer(put=_forget).add(path)
    return f"{link.cid} {link.size}"


def _directory(files: Mapping[str, Path], put: Put | None) -> Link:
    below: dict[str, dict[str, Path]] = {}
    links = []
    for name, path in files.items():
        first, _, rest = name.partition("/")
        if rest:
            below.setdefault(first, {})[rest] = path
        else:
            links.append(_file(path, first, put))
    for name, inner in below.items():
        link = _directory(inner, put)
        links.append(Link(link.cid, name, link.size))
    return Importer(put=put or _forget).directory(links)


def _forget(block: object) -> None:
    """Take a block and drop it: only the CID is wanted."""
