"""Archives of blocks (CARv1), read and written as they stream. Pure: bytes in, blocks out, and the other way.

A block that comes out of a ``CarReader`` has a CID written beside it and nothing more: ``block.verify`` comes next.
"""

from __future__ import annotations

from collections.abc import Iterator

from webinfer.core.errors import FetchError, IntegrityError, InvalidModel
from webinfer.models.ipfs.block import MAX_BLOCK, Block, check_size
from webinfer.models.ipfs.cid import CID, read_cid, read_varint, varint

MAX_HEADER = 1 << 20  # bytes: some 25,000 roots
MAX_CID = 256  # bytes; an identity CID of 128 bytes is the longest that is read
_V2 = b"\x0a\xa1\x67version\x02"  # how every CARv2 begins
_CID_TAG = b"\xd8\x2a\x58"  # CBOR: tag 42, byte string with a length byte


class CarReader:
    """Takes an archive in pieces of any size and gives the blocks that are whole. Their bytes are copied once."""

    def __init__(self) -> None:
        self._pending = bytearray()  # the part that came of the header, or of the head of a block
        self._cid: CID | None = None  # of the block that is coming
        self._body: list[memoryview] = []  # the parts that came of it
        self._missing = 0  # its bytes that are still to come
        self.roots: tuple[CID, ...] | None = None
        self.nbytes = 0

    def __repr__(self) -> str:
        return f"<CarReader {self.nbytes} bytes, {self._missing} to come of {self._cid}>"

    def feed(self, piece: bytes) -> Iterator[Block]:
        """Take a piece, and yield the blocks that it completes.

        Args:
            piece: The next bytes of the archive, cut anywhere.

        Yields:
            Blocks, in the order of the archive.

        Raises:
            IntegrityError: This is no archive, or a block is larger than 2 MiB.
        """
        self.nbytes += len(piece)
        try:
            yield from self._blocks(piece)
        except InvalidModel as error:
            raise IntegrityError(f"What came is no archive of blocks (CARv1): {error}") from None

    def finish(self) -> None:
        """Say that nothing more comes.

        Raises:
            FetchError: The archive ends within its header or a block.
        """
        if self.roots is None or self._pending or self._cid is not None:
            raise FetchError(f"The archive ends in the middle, after {self.nbytes} bytes.", nbytes=self.nbytes)

    def _blocks(self, piece: bytes) -> Iterator[Block]:
        if self._pending or self.roots is None:
            self._pending += piece
            if self.roots is None and not self._begin():
                return
            piece, self._pending = bytes(self._pending), bytearray()
        place = 0
        # A block without bytes is whole as soon as its head is, even at the end of a piece.
        while place < len(piece) or self._cid is not None:
            if self._cid is None:
                start = self._open(piece, place)
                if start is None:
                    self._pending += piece[place:]
                    return
                place = start
            part = memoryview(piece)[place : place + self._missing]
            place += len(part)
            self._missing -= len(part)
            self._body.append(part)
            if self._missing:
                return
            yield self._close()

    def _begin(self) -> bool:
        """Read the header, if it is whole.

        Returns:
            Whether the header was whole.

        Raises:
            InvalidModel: It is of another version, or too long.
        """
        prefix = _length(self._pending, 0)
        if prefix is None:
            return False
        length, start = prefix
        if self._pending[: len(_V2)] == _V2:
            raise InvalidModel("it is a CARv2; write it as CARv1.")
        if length > MAX_HEADER:
            raise InvalidModel(f"a part of {length} bytes.")
        if start + length > len(self._pending):
            return False
        self.roots = _read_header(bytes(self._pending[start : start + length]))
        del self._pending[: start + length]
        return True

    def _open(self, data: bytes, place: int) -> int | None:
        """Return where a block's bytes begin; ``None`` where what stands before them is not whole."""
        prefix = _length(data, place)
        if prefix is None:
            return None
        length, start = prefix
        if length > MAX_CID + MAX_BLOCK:  # refused before any of its bytes are kept
            check_size(None, length)
        name = data[start : start + min(length, MAX_CID)]
        if len(name) < min(length, MAX_CID):
            return None
        cid, size = read_cid(name, 0)
        check_size(cid, length - size)
        self._cid, self._missing = cid, length - size
        return start + size

    def _close(self) -> Block:
        assert self._cid is not None
        block = Block(self._cid, b"".join(self._body))  # its bytes are copied only here
        self._cid = None
        self._body.clear()
        return block


def _length(data: bytes | bytearray, place: int) -> tuple[int, int] | None:
    """Return the length of the next part and where it begins; ``None`` where the number is not whole.

    Raises:
        InvalidModel: The number is too long, or the part is empty.
    """
    # A varint has at most 9 bytes, and only its last one is below 0x80.
    ahead = data[place : place + 9]
    if len(ahead) < 9 and not any(byte < 0x80 for byte in ahead):
        return None
    length, start = read_varint(data, place)
    if length == 0:
        raise InvalidModel("a part without bytes.")
    return length, start


def header(roots: tuple[CID, ...]) -> bytes:
    """Write the beginning of an archive: DAG-CBOR of ``{"roots": [...], "version": 1}``.

    Args:
        roots: CIDs of the archive's roots.

    Returns:
        The bytes that begin the archive.
    """
    links = b"".join(_CID_TAG + bytes([len(cid) + 1]) + b"\0" + bytes(cid) for cid in roots)
    body = b"\xa2\x65roots" + _array(len(roots)) + links + b"\x67version\x01"
    return varint(len(body)) + body


def section_head(cid: CID, nbytes: int) -> bytes:
    """Write what stands before the bytes of a block in an archive.

    Args:
        cid: CID of the block that follows.
        nbytes: Size of its bytes.

    Returns:
        The bytes that stand before it: a length and the CID.
    """
    name = bytes(cid)
    return varint(len(name) + nbytes) + name


def _array(length: int) -> bytes:
    if length < 24:
        return bytes([0x80 | length])
    return b"\x98" + bytes([length]) if length < 256 else b"\x99" + length.to_bytes(2, "big")


def _read_header(data: bytes) -> tuple[CID, ...]:
    """Return the roots of a header as ``header`` writes it.

    Raises:
        InvalidModel: It is another header.
    """
    place = data.find(b"\x65roots") + 6
    if not data.startswith(b"\xa2") or place < 6 or b"\x67version\x01" not in data:
        raise InvalidModel("its header is not that of version 1.")
    count, place = _read_array(data, place)
    roots = []
    for _ in range(count):
        if data[place : place + 3] != _CID_TAG or len(data) < place + 5:
            raise InvalidModel("a root is no CID.")
        # After the tag: a length byte, the zero byte of a binary multibase, and the CID.
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
