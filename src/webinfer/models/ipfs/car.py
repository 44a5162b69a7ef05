"""Archives of blocks (CARv1), read and written as they stream. Pure: bytes in, blocks out, and the other way.

A block that comes out of a ``CarReader`` has a CID written beside it and nothing more: ``block.verify`` comes next.
"""

from __future__ import annotations

from collections.abc import Iterator

from webinfer.errors import FetchError, IntegrityError, InvalidModel
from webinfer.models.ipfs.block import MAX_BLOCK, Block, check_size
from webinfer.models.ipfs.cid import CID, read_cid, read_varint, varint

MAX_HEADER = 1 << 20  # bytes: some 25,000 roots
MAX_CID = 256  # bytes; an identity CID of 128 bytes is the longest that is read
_V2 = b"\x0a\xa1\x67version\x02"  # how every CARv2 begins
_CID_TAG = b"\xd8\x2a\x58"  # CBOR: tag 42, byte string with a length byte


class CarReader:
    """Takes an archive in pieces of any size and gives the blocks that are whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._place = 0  # what lies before was given out already
        self.roots: tuple[CID, ...] | None = None
        self.nbytes = 0

    def __repr__(self) -> str:
        return f"<CarReader {self.nbytes} bytes, {len(self._buffer) - self._place} waiting>"

    def feed(self, piece: bytes) -> Iterator[Block]:
        """Take a piece, and yield the blocks that it completes.

        Raises:
            IntegrityError: This is no archive, or a block is larger than 2 MiB.
        """
        self._buffer += piece
        self.nbytes += len(piece)
        try:
            if self.roots is None:
                found = self._section(MAX_HEADER)
                if found is None:
                    return
                self.roots = _read_header(bytes(self._buffer[slice(*found)]))
            while (found := self._section(MAX_CID + MAX_BLOCK)) is not None:
                yield self._block(*found)
        except InvalidModel as error:
            raise IntegrityError(f"What came is no archive of blocks (CARv1): {error}") from None
        finally:
            del self._buffer[: self._place]
            self._place = 0

    def finish(self) -> None:
        """Say that nothing more comes.

        Raises:
            FetchError: The archive ends within its header or a block.
        """
        if self.roots is None or self._buffer:
            raise FetchError(f"The archive ends in the middle, after {self.nbytes} bytes.", nbytes=self.nbytes)

    def _block(self, start: int, end: int) -> Block:
        cid, length = read_cid(self._buffer[start : min(end, start + MAX_CID)], 0)
        check_size(cid, end - start - length)
        with memoryview(self._buffer) as view:
            return Block(cid, bytes(view[start + length : end]))  # the only copy of it

    def _section(self, limit: int) -> tuple[int, int] | None:
        """Pass the next length-prefixed part, if it is whole, and say where in the buffer it is."""
        waiting = len(self._buffer) - self._place
        if waiting == 0 or (waiting < 9 and not any(byte < 0x80 for byte in self._buffer[self._place :])):
            return None
        length, start = read_varint(self._buffer, self._place)
        if self.roots is None and self._buffer[self._place : self._place + len(_V2)] == _V2:
            raise InvalidModel("it is a CARv2; write it as CARv1.")
        if length > limit:
            if self.roots is not None:
                check_size(None, length)
            raise InvalidModel(f"a part of {length} bytes.")
        if length == 0:
            raise InvalidModel("a part without bytes.")
        if start + length > len(self._buffer):
            return None
        self._place = start + length
        return start, start + length


def header(roots: tuple[CID, ...]) -> bytes:
    """Write the beginning of an archive: DAG-CBOR of ``{"roots": [...], "version": 1}``."""
    links = b"".join(_CID_TAG + bytes([len(cid) + 1]) + b"\0" + bytes(cid) for cid in roots)
    body = b"\xa2\x65roots" + _array(len(roots)) + links + b"\x67version\x01"
    return varint(len(body)) + body


def section_head(block: Block) -> bytes:
    """Write what stands before a block's bytes in an archive."""
    name = bytes(block.cid)
    return varint(len(name) + len(block.data)) + name


def _array(length: int) -> bytes:
    if length < 24:
        return bytes([0x80 | length])
    return b"\x98" + bytes([length]) if length < 256 else b"\x99" + length.to_bytes(2, "big")


def _read_header(data: bytes) -> tuple[CID, ...]:
    """Read the roots; only what ``header`` can write is a header."""
    place = data.find(b"\x65roots") + 6
    if not data.startswith(b"\xa2") or place < 6 or b"\x67version\x01" not in data:
        raise InvalidModel("its header is not that of version 1.")
    count, place = _read_array(data, place)
    roots = []
    for _ in range(count):
        if data[place : place + 3] != _CID_TAG or len(data) < place + 5:
            raise InvalidModel("a root is no CID.")
        end = place + 4 + data[place + 3]
        cid, stop = read_cid(data[:end], place + 5)
        if stop != end:
            raise InvalidModel("a root is no CID.")
        roots.append(cid)
        place = end
    return tuple(roots)


def _read_array(data: bytes, place: int) -> tuple[int, int]:
    first = data[place] if place < len(data) else 0
    extra = {0x98: 1, 0x99: 2}.get(first, 0)
    if not 0x80 <= first < 0x98 and not extra:
        raise InvalidModel("its roots are no list.")
    if extra:
        return int.from_bytes(data[place + 1 : place + 1 + extra], "big"), place + 1 + extra
    return first & 0x1F, place + 1
