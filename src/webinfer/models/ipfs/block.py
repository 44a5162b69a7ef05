"""Blocks: a CID with its bytes, which nobody may use before they are hashed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from webinfer.core.errors import IntegrityError
from webinfer.models.ipfs.cid import CID

MAX_BLOCK = 2 << 20  # bytes; peers do not pass on larger ones


@dataclass(frozen=True, slots=True)
class Block:
    """A block.

    Attributes:
        cid: Its name.
        data: Its bytes, unverified: see ``verify``.
    """

    cid: CID
    data: bytes

    def __repr__(self) -> str:
        return f"<Block {self.cid} {len(self.data)} bytes>"

    @classmethod
    def of(cls, codec: int, data: bytes) -> Block:
        """Make the block of these bytes.

        Args:
            codec: Multicodec of the contents: ``RAW`` or ``DAG_PB``.
            data: The block's bytes.

        Returns:
            The block, named by the SHA2-256 of its bytes.
        """
        return cls(CID.of(codec, data), data)


def verify(block: Block) -> Block:
    """Return the block, if its bytes are those that its CID names.

    Args:
        block: The block, unverified.

    Raises:
        IntegrityError: Its bytes have another hash, or there are more than 2 MiB.
    """
    check_size(block.cid, len(block.data))
    if not block.cid.names(block.data):
        raise IntegrityError(
            f"The bytes that came for block {block.cid} have another hash: they were changed on their way or at their "
            "source, so they are not used.",
            cid=str(block.cid),
        )
    return block


def check_size(cid: CID | None, nbytes: int) -> None:
    """Refuse a block that is larger than 2 MiB.

    Args:
        cid: Its CID, where it is known.
        nbytes: Its size in bytes.

    Raises:
        IntegrityError: The block is larger.
    """
    if nbytes > MAX_BLOCK:
        raise IntegrityError(
            f"{'Block ' + str(cid) if cid else 'A block'} has {nbytes} bytes; more than {MAX_BLOCK} are refused, "
            "because nothing can be verified before a block is whole.",
            cid=str(cid) if cid else None,
            nbytes=nbytes,
        )
