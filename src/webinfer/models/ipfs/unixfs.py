"""From blocks to files: paths, listings and contents. Pure: blocks come from a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from webinfer.core.errors import InvalidModel, ModelNotFound
from webinfer.models.ipfs import hamt
from webinfer.models.ipfs.cid import CID
from webinfer.models.ipfs.dag_pb import Kind, Link, Node, decode

MAX_DEPTH = 64  # directories within directories; deeper ones are no model
MAX_ENTRIES = 100_000  # in one listing: a small DAG can describe more files than any disk holds
_MAX_TREE = 32  # levels of a file's tree; with 2 links a level 32 of them reach 4 PB

Get = Callable[[CID], bytes]  # the verified bytes of a block
_RESERVED = frozenset({"", ".", ".."})


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """Something in a tree of directories.

    Attributes:
        path: Where, from the root of the listing on, with slashes; empty for the root itself.
        cid: Its CID.
        node: Its first block.
    """

    path: str
    cid: CID
    node: Node

    @property
    def nbytes(self) -> int:
        """Size of a file; 0 for a directory."""
        return self.node.size or 0


@dataclass(frozen=True, slots=True)
class PathStep:
    """The next block on the way along a path.

    Attributes:
        cid: The next block.
        level: 0, or within a sharded directory how many shards were passed.
        arrived: Whether the block is the entry of that name, and not a further shard.
    """

    cid: CID
    level: int
    arrived: bool


def split(path: str) -> tuple[str, ...]:
    """Return the names in a path.

    Args:
        path: Names with slashes between them.

    Returns:
        The names, outermost first.

    Raises:
        ModelNotFound: One is ``..`` or another that no entry may have.
    """
    names = tuple(name for name in path.split("/") if name)
    for name in names:
        if _is_unsafe(name):
            raise ModelNotFound(f"The path {path!r} has the part {name!r}, which no file has here.", path=path)
    return names


def step(node: Node, name: str, level: int) -> PathStep | None:
    """Go one block along a path.

    Args:
        node: The node to go from.
        name: The next name in the path.
        level: How many shards of this directory were passed.

    Returns:
        Where to go, or ``None`` where there is no entry of that name.

    Raises:
        ModelNotFound: The node is a file.
        InvalidModel: The node is neither a file nor a directory.
    """
    if node.is_file:
        raise ModelNotFound(f"There is no {name!r} in a file.", name=name)
    if node.kind == Kind.DIRECTORY:
        entry = next((link for link in node.links if link.name == name), None)
        return PathStep(entry.cid, 0, True) if entry else None
    if node.kind != Kind.SHARD:
        raise InvalidModel(f"{name!r} lies behind a {node.kind.name.lower()}, which is not followed.", name=name)
    place = hamt.place_of(name, node, level)
    for suffix, link in hamt.entries(node):
        if link.name.startswith(place) and suffix in ("", name):
            return PathStep(link.cid, level + 1 if not suffix else 0, bool(suffix))
    return None


def resolve(get: Get, root: CID, path: str) -> list[CID]:
    """Follow a path.

    Args:
        get: Returns the bytes of a block, verified.
        root: Where the path begins.
        path: Names with slashes between them; empty for the root itself.

    Returns:
        The CIDs passed, shards included: the root first, the one that the path names last.

    Raises:
        ModelNotFound: There is no such entry.
    """
    passed, level = [root], 0
    for name in split(path):
        while True:  # one name may lead through several shards
            cid = passed[-1]
            following = step(decode(cid, get(cid)), name, level)
            if following is None:
                raise missing_path(root, path, name)
            passed.append(following.cid)
            level = following.level
            if following.arrived:
                break
    return passed


def missing_path(root: CID, path: str, name: str) -> ModelNotFound:
    """Return the error for a name that a directory does not have.

    Args:
        root: Where the path begins.
        path: The whole path.
        name: The name that is missing.

    Returns:
        The error, to be raised.
    """
    return ModelNotFound(f"There is no {name!r} on the way to {path!r} in {root}.", cid=str(root), path=path, name=name)


def children(get: Get, node: Node) -> Iterator[Link]:
    """Yield the entries of a directory, over all its shards, checked for names that could leave it.

    Args:
        get: Returns the bytes of a block, verified.
        node: The directory.

    Raises:
        InvalidModel: A name is unsafe, or there twice.
    """
    names: set[str] = set()
    for link in _links(get, node, 0):
        if _is_unsafe(link.name) or link.name in names:
            why = "there twice" if link.name in names else "unsafe"
            raise InvalidModel(
                f"A directory has an entry named {link.name!r}, which is {why}: nothing of it is written.",
                name=link.name,
            )
        names.add(link.name)
        yield link


def tree(get: Get, root: CID) -> Iterator[DirectoryEntry]:
    """Yield everything in and below an entry, itself first; a directory comes before what is in it.

    Args:
        get: Returns the bytes of a block, verified.
        root: The entry to begin with.

    Raises:
        InvalidModel: There is a symbolic link, an unsafe name, or more entries or levels than the limits.
    """
    waiting = [("", root, 0)]
    for _ in range(MAX_ENTRIES):
        if not waiting:
            return
        path, cid, depth = waiting.pop()
        node = decode(cid, get(cid))
        if not (node.is_file or node.is_directory):
            raise InvalidModel(
                f"{path or root} is a {node.kind.name.lower()}, not a file: such entries are refused, because they can "
                "lead out of the directory.",
                cid=str(cid),
                path=path,
            )
        yield DirectoryEntry(path, cid, node)
        if node.is_directory:
            if depth >= MAX_DEPTH:
                raise InvalidModel(f"{path} is nested deeper than {MAX_DEPTH} directories.", path=path)
            below = [(f"{path}/{link.name}".lstrip("/"), link.cid, depth + 1) for link in children(get, node)]
            waiting += reversed(below)
    raise InvalidModel(f"{root} has more than {MAX_ENTRIES} entries.", cid=str(root))


def contents(get: Get, cid: CID) -> Iterator[bytes]:
    """Yield a file's bytes, piece by piece.

    Args:
        get: Returns the bytes of a block, verified.
        cid: CID of the file.

    Returns:
        An iterator over the pieces.

    Raises:
        InvalidModel: It is no file, or its parts have other sizes than it says.
    """
    return _contents(get, cid, 0)


def _links(get: Get, node: Node, level: int) -> Iterator[Link]:
    if node.kind == Kind.DIRECTORY:
        yield from node.links
        return
    if level >= MAX_DEPTH:
        raise InvalidModel("The shards of a directory are nested without end.")
    for name, link in hamt.entries(node):
        if name:
            yield Link(link.cid, name, link.size)
            continue
        shard = decode(link.cid, get(link.cid))
        if shard.kind != Kind.SHARD:
            raise InvalidModel(f"{link.cid} stands where a directory's shard is due.", cid=str(link.cid))
        yield from _links(get, shard, level + 1)


def _contents(get: Get, cid: CID, level: int) -> Iterator[bytes]:
    node = decode(cid, get(cid))
    if not node.is_file:
        raise InvalidModel(f"{cid} is a {node.kind.name.lower()}, not a file.", cid=str(cid))
    if level >= _MAX_TREE:
        raise InvalidModel("The parts of a file are nested without end.", cid=str(cid))
    if node.data:
        yield node.data
    for part, size in zip(node.links, node.sizes, strict=True):
        nbytes = 0
        for piece in _contents(get, part.cid, level + 1):
            nbytes += len(piece)
            if nbytes > size:  # stop at once: a few blocks can describe a part of any size
                break
            yield piece
        if nbytes != size:
            raise InvalidModel(f"Part {part.cid} of {cid} does not have the {size} bytes that it should.", cid=str(cid))


def _is_unsafe(name: str) -> bool:
    """Return whether a name could lead out of its directory, on any system that this runs on."""
    return name in _RESERVED or any(letter in name for letter in "/\\\0") or (len(name) > 1 and name[1] == ":")
