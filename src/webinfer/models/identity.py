"""What a model is called by its contents, the same wherever the same files are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from webinfer.cache import remembered
from webinfer.models.ipfs.cid import CID
from webinfer.models.ipfs.dagpb import Link
from webinfer.models.ipfs.importer import Importer


def model_cid(files: Mapping[str, Path]) -> str:
    """Return the CID of a model, by the profile unixfs-v1-2025: what ``webinfer ipfs add`` prints for it.

    Args:
        files: Its files by the names that it knows them by. One file has the CID of its contents; several have that of
            the directory that holds nothing but them.
    """
    if len(files) == 1:
        return str(_file(next(iter(files.values()))).cid)
    return str(_directory(files).cid)


def _file(path: Path, name: str = "") -> Link:
    """Return a link to a file, remembered as long as the file does not change."""
    cid, _, size = remembered("cid:", path, _imported).partition(" ")
    return Link(CID.parse(cid), name, int(size))


def _imported(path: Path) -> str:
    link = Importer(put=_forget).add(path)
    return f"{link.cid} {link.size}"


def _directory(files: Mapping[str, Path]) -> Link:
    below: dict[str, dict[str, Path]] = {}
    links = []
    for name, path in files.items():
        first, _, rest = name.partition("/")
        if rest:
            below.setdefault(first, {})[rest] = path
        else:
            links.append(_file(path, first))
    for name, inner in below.items():
        link = _directory(inner)
        links.append(Link(link.cid, name, link.size))
    return Importer(put=_forget).directory(links)


def _forget(block: object) -> None:
    """Keep nothing: only the root's name is wanted."""
