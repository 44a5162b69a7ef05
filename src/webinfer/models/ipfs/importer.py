"""From files to blocks, so that the same files get the same CID everywhere.

The profile is ``unixfs-v1-2025`` (IPIP-0499): CIDv1, SHA2-256, raw leaves of 1 MiB, balanced trees of 1,024 links a
node, and directories sharded when their node would exceed 256 KiB.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from webinfer.core.errors import InvalidModel, ModelNotFound
from webinfer.models.ipfs import hamt
from webinfer.models.ipfs.block import Block
from webinfer.models.ipfs.cid import RAW
from webinfer.models.ipfs.dag_pb import Kind, Link, Node, encode

PROFILE = "unixfs-v1-2025"
CHUNK = 1 << 20
WIDTH = 1024
SHARD_ABOVE = 256 << 10  # bytes of a directory's node

Put = Callable[[Block], None]


@dataclass(frozen=True, slots=True)
class _Part:
    link: Link
    nbytes: int  # of the file's contents below


@dataclass(frozen=True, slots=True, kw_only=True)
class Importer:
    """Cuts files and directories into blocks.

    Attributes:
        put: Takes each block as it is made, children before parents.
        chunk: Bytes of a leaf.
        width: Links of a node at most.
        shard_above: Bytes of a directory's node, above which it is sharded.
        hidden: Also take files whose names begin with a dot.
        follow: Take the targets of symbolic links; otherwise a link is an error.
        tell: Called with the bytes of each leaf.
    """

    put: Put
    chunk: int = CHUNK
    width: int = WIDTH
    shard_above: int = SHARD_ABOVE
    hidden: bool = False
    follow: bool = False
    tell: Callable[[int], None] | None = None

    def add(self, path: Path) -> Link:
        """Add a file, or a directory with all below it.

        Args:
            path: A file or a directory.

        Returns:
            A link to it: its CID, and the size of all its blocks.

        Raises:
            ModelNotFound: There is nothing at the path.
            InvalidModel: There is something that is neither file nor directory, or a name that is not Unicode.
        """
        if not path.exists():
            raise ModelNotFound(f"There is no {path}.", path=str(path))
        return self._path(path.resolve(), frozenset())

    def file(self, source: BinaryIO) -> Link:
        """Add a file's contents.

        Args:
            source: The file, open for reading bytes.

        Returns:
            A link to it: its CID, and the size of all its blocks.
        """
        # Each level links the one below, until one node is left. A file of one leaf has no other node.
        level = list(self._leaves(source))
        while len(level) > 1:
            level = [self._parent(level[start : start + self.width]) for start in range(0, len(level), self.width)]
        return level[0].link

    def directory(self, entries: list[Link]) -> Link:
        """Add a directory of these entries.

        Args:
            entries: Links to its entries, with their names.

        Returns:
            A link to it: its CID, and the size of all its blocks.
        """
        ordered = sorted(entries, key=lambda entry: entry.name.encode())
        block = encode(Node(Kind.DIRECTORY, tuple(ordered)))
        if len(block.data) > self.shard_above:
            block, size = hamt.build(ordered, self.put)
            return Link(block.cid, size=size)
        self.put(block)
        return Link(block.cid, size=len(block.data) + sum(entry.size for entry in ordered))

    def _path(self, path: Path, above: frozenset[Path]) -> Link:
        if not path.is_dir():
            with path.open("rb") as source:
                return self.file(source)
        real = path.resolve()
        if real in above:  # a followed link to a directory above would never end
            raise InvalidModel(f"{path} leads back to a directory that it lies in: remove the link.", path=str(path))
        entries = []
        for child in path.iterdir():
            if self.hidden or not child.name.startswith("."):
                _check_name(child)
                self._check_type(child)
                link = self._path(child, above | {real})
                entries.append(Link(link.cid, child.name, link.size))
        return self.directory(entries)

    def _check_type(self, path: Path) -> None:
        if path.is_symlink() and not self.follow:
            raise InvalidModel(
                f"{path} is a symbolic link. Those that fetch it would not follow it: copy its target there, or ask "
                "for links to be followed.",
                path=str(path),
            )
        mode = path.stat().st_mode if path.exists() else 0
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InvalidModel(f"{path} is neither a file nor a directory: remove it.", path=str(path))

    def _leaves(self, source: BinaryIO) -> Iterator[_Part]:
        first = True  # an empty file has one empty leaf
        while (data := source.read(self.chunk)) or first:
            first = False
            block = Block.of(RAW, data)
            self.put(block)
            if self.tell is not None:
                self.tell(len(data))
            yield _Part(Link(block.cid, size=len(data)), len(data))

    def _parent(self, parts: list[_Part]) -> _Part:
        nbytes = sum(part.nbytes for part in parts)
        node = Node(
            Kind.FILE, tuple(part.link for part in parts), size=nbytes, sizes=tuple(part.nbytes for part in parts)
        )
        block = encode(node)
        self.put(block)
        return _Part(Link(block.cid, size=len(block.data) + sum(part.link.size for part in parts)), nbytes)


def _check_name(path: Path) -> None:
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise InvalidModel(f"The name of {path!r} is not Unicode: rename it.", path=repr(path)) from None
