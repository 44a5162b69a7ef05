"""The blocks of a DAG that are still wanted. No others are taken, whatever peers send. Pure.

It starts with the root. Each verified block names the blocks below it by their hashes, so every wanted block is known
by its hash before it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from webinfer.models.ipfs import hamt
from webinfer.models.ipfs.block import Block
from webinfer.models.ipfs.cid import CID, RAW
from webinfer.models.ipfs.dag_pb import Kind, decode
from webinfer.models.ipfs.unixfs import missing_path, split, step


@dataclass(frozen=True, slots=True)
class Want:
    """Why a block is wanted.

    Attributes:
        names: The rest of the path; empty where everything below is wanted.
        level: Shards passed in this directory.
    """

    names: tuple[str, ...] = ()
    level: int = 0


class Frontier:
    """The blocks wanted next.

    Args:
        root: Where the DAG begins.
        path: Want only what this path leads to, and the blocks on the way.
        listing: Of a directory at the end of the path, want only the blocks that hold its names.
        find: Returns the verified bytes of a block that is here already, or ``None``.
        holds: Tells whether a block is here, without reading it.
    """

    def __init__(
        self,
        root: CID,
        path: str,
        find: Callable[[CID], bytes | None],
        holds: Callable[[CID], bool],
        *,
        listing: bool = False,
    ) -> None:
        self.root = root
        self.path = path
        self.target: CID | None = None
        self.wanted: dict[CID, Want] = {}
        self._listing = listing
        self._find = find
        self._holds = holds
        self._visited: set[tuple[CID, Want]] = set()
        self._settle([(root, Want(split(path)))])

    def __repr__(self) -> str:
        return f"<Frontier {self.root} wants {len(self.wanted)}>"

    def take(self, block: Block) -> None:
        """Note that a wanted block is verified and here.

        Args:
            block: The block, verified.

        Raises:
            ModelNotFound: The path leads nowhere.
            InvalidModel: The block is right, and no file or directory.
        """
        want = self.wanted.pop(block.cid)
        self._settle(self._below(block.cid, block.data, want))

    def _settle(self, stack: list[tuple[CID, Want]]) -> None:
        """Go through the blocks that are here; want the others."""
        while stack:
            cid, want = stack.pop()
            # One block may be wanted twice: on the way along a path, and as a part of what lies at its end.
            if (cid, want) in self._visited:
                continue
            self._visited.add((cid, want))
            if not want.names and self.target is None:
                self.target = cid  # the end of the path is reached before anything below it
            if cid.codec == RAW and not want.names:  # a leaf leads nowhere, so it need not be read
                if not self._holds(cid):
                    self.wanted.setdefault(cid, want)
            elif (data := self._find(cid)) is not None:
                stack += self._below(cid, data, want)
            else:
                self.wanted.setdefault(cid, want)

    def _below(self, cid: CID, data: bytes, want: Want) -> list[tuple[CID, Want]]:
        node = decode(cid, data)
        if not want.names and self._listing:
            shards = hamt.entries(node) if node.kind == Kind.SHARD else ()
            return [(link.cid, Want(level=want.level + 1)) for name, link in shards if not name]
        if not want.names:  # reversed for a stack: the first part is wanted first
            return [(link.cid, Want()) for link in reversed(node.links)]
        following = step(node, want.names[0], want.level)
        if following is None:
            raise missing_path(self.root, self.path, want.names[0])
        return [(following.cid, Want(want.names[1:] if following.arrived else want.names, following.level))]
