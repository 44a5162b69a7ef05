"""The nodes of files and directories: dag-pb (links and data) with UnixFS (what it is) inside. Pure.

Both are protocol buffers of a few fields, read and written here by hand; the field numbers are those of the dag-pb and
UnixFS specifications.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from webinfer.core.errors import InvalidModel
from webinfer.models.ipfs.block import Block
from webinfer.models.ipfs.cid import CID, DAG_PB, RAW, read_cid, read_varint, varint

_VARINT, _BYTES = 0, 2  # wire types


class Kind(IntEnum):
    """What a node is."""

    RAW = 0
    DIRECTORY = 1
    FILE = 2
    METADATA = 3
    SYMLINK = 4
    SHARD = 5  # a part of a large directory, by the hash of its names (HAMT)


@dataclass(frozen=True, slots=True)
class Link:
    """A link to another node.

    Attributes:
        cid: Where to.
        name: Name in a directory; empty between the parts of a file.
        size: Bytes of all blocks below, as the link states them; nothing verifies this number.
    """

    cid: CID
    name: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """A file, a directory, or a part of one.

    Attributes:
        kind: Which.
        links: Entries of a directory, or parts of a file.
        data: Bytes of a file kept in the node; a shard's bitfield.
        size: Bytes of the file below this node, or ``None`` for what is no file.
        sizes: The same for each link of a file.
        fanout: Places in a shard.
        hash: The hash function of a shard.
    """

    kind: Kind
    links: tuple[Link, ...] = ()
    data: bytes = b""
    size: int | None = None
    sizes: tuple[int, ...] = field(default=())
    fanout: int | None = None
    hash: int | None = None

    @property
    def is_file(self) -> bool:
        """Whether this is a file or a part of one."""
        return self.kind in (Kind.RAW, Kind.FILE)

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory or a part of one."""
        return self.kind in (Kind.DIRECTORY, Kind.SHARD)


def encode(node: Node) -> Block:
    """Write a node as a dag-pb block, in the one order that the specification allows.

    Args:
        node: The node.

    Returns:
        The block, under the CID of its bytes.
    """
    inner = _number(1, node.kind)
    if node.data:
        inner += _bytes(2, node.data)
    if node.size is not None:
        inner += _number(3, node.size)
    inner += b"".join(_number(4, size) for size in node.sizes)
    if node.hash is not None:
        inner += _number(5, node.hash)
    if node.fanout is not None:
        inner += _number(6, node.fanout)
    # Links (field 2) come before the data (field 1). Another order has another hash, and so another CID.
    return Block.of(DAG_PB, b"".join(map(_link, node.links)) + _bytes(1, inner))


def decode(cid: CID, data: bytes) -> Node:
    """Read a verified block as a node.

    Args:
        cid: CID of the block.
        data: Its bytes, verified.

    Returns:
        The node: its data and its links.

    Raises:
        InvalidModel: The bytes are no node, although their hash is right.
    """
    if cid.codec == RAW:
        return Node(Kind.RAW, data=data, size=len(data))
    try:
        if cid.codec != DAG_PB:
            raise InvalidModel(f"{cid.kind} is no codec of files and directories.")
        return _decode(data)
    except (InvalidModel, UnicodeDecodeError) as error:
        raise InvalidModel(f"Block {cid} is no file or directory: {error}", cid=str(cid)) from None


def _decode(data: bytes) -> Node:
    links: list[Link] = []
    inner: bytes | None = None
    for number, value in _fields(data):
        if number == 2 and isinstance(value, bytes):
            links.append(_read_link(value))
        elif number == 1 and isinstance(value, bytes) and inner is None:
            inner = value
        else:
            raise InvalidModel(f"it has a field {number} that may not be there.")
    if inner is None:
        raise InvalidModel("it has no data field.")
    return _read_unixfs(inner, tuple(links))


def _read_unixfs(data: bytes, links: tuple[Link, ...]) -> Node:
    numbers: dict[int, int] = {}
    sizes: list[int] = []
    content = b""
    for number, value in _fields(data):
        if number == 4:  # the sizes of the parts, one to a field or packed
            sizes += [value] if isinstance(value, int) else list(_packed(value))
        elif number == 2 and isinstance(value, bytes):
            content = value
        elif isinstance(value, int):
            numbers[number] = value
    kind = numbers.get(1)
    if kind not in list(Kind):
        raise InvalidModel(f"there is no UnixFS type {kind}.")
    size = numbers.get(3) if kind in (Kind.FILE, Kind.RAW) else None
    # A reader relies on these sizes before it has the parts, so they must agree.
    if kind in (Kind.FILE, Kind.RAW):
        if len(sizes) != len(links):
            raise InvalidModel(f"it has {len(links)} parts and {len(sizes)} sizes.")
        size = len(content) + sum(sizes) if size is None else size
        if size != len(content) + sum(sizes):
            raise InvalidModel(f"its parts have {len(content) + sum(sizes)} bytes and it says {size}.")
    return Node(Kind(kind), links, content, size, tuple(sizes), numbers.get(6), numbers.get(5))


def _read_link(data: bytes) -> Link:
    cid, name, size = None, "", 0
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            cid, end = read_cid(value, 0)
            if end != len(value):
                raise InvalidModel("a link's CID has bytes after it.")
        elif number == 2 and isinstance(value, bytes):
            name = value.decode("utf-8")
        elif number == 3 and isinstance(value, int):
            size = value
    if cid is None:
        raise InvalidModel("a link leads nowhere.")
    return Link(cid, name, size)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    place = 0
    while place < len(data):
        key, place = read_varint(data, place)
        value, place = read_varint(data, place)
        if key & 7 == _VARINT:
            yield key >> 3, value
        elif key & 7 == _BYTES:
            if place + value > len(data):
                raise InvalidModel("a field is cut off.")
            yield key >> 3, data[place : place + value]
            place += value
        else:
            raise InvalidModel(f"wire type {key & 7} may not be there.")


def _packed(data: bytes) -> Iterator[int]:
    place = 0
    while place < len(data):
        number, place = read_varint(data, place)
        yield number


def _link(link: Link) -> bytes:
    return _bytes(2, _bytes(1, bytes(link.cid)) + _bytes(2, link.name.encode()) + _number(3, link.size))


def _bytes(number: int, value: bytes) -> bytes:
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return varint(number << 3 | _VARINT) + varint(value)
