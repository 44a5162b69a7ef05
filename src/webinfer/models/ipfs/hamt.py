"""Large directories: entries spread over shards by the hash of their names (a hash array mapped trie). Pure.

The hash is the first 64 bits of MurmurHash3 x64 128 with seed 0, taken a byte per level for shards of 256 places; a
link's name is the place in hexadecimal, followed, for an entry, by the entry's name. (UnixFS specification,
``HAMTDirectory``.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from webinfer.core.errors import InvalidModel
from webinfer.models.ipfs.block import Block
from webinfer.models.ipfs.dag_pb import Kind, Link, Node, encode

FANOUT = 256
MURMUR3_64 = 0x22  # its number in the multicodec table
MAX_FANOUT = 1024  # as other implementations limit it
_HASH_BYTES = 8

_MASK = (1 << 64) - 1
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F


def hash_name(name: bytes) -> bytes:
    """Return the hash that places a name: 8 bytes, most significant first.

    MurmurHash3_x64_128 by Austin Appleby, public domain; of its 128 bits the first 64.

    Args:
        name: The entry's name, as UTF-8.

    Returns:
        The hash, 8 bytes.
    """
    first = second = 0
    whole = len(name) // 16 * 16
    for place in range(0, whole, 16):
        first ^= _mix(int.from_bytes(name[place : place + 8], "little"), _C1, 31, _C2)
        first = (_rotate(first, 27) + second) * 5 + 0x52DCE729 & _MASK
        second ^= _mix(int.from_bytes(name[place + 8 : place + 16], "little"), _C2, 33, _C1)
        second = (_rotate(second, 31) + first) * 5 + 0x38495AB5 & _MASK
    # The rest, below 16 bytes, is mixed in without the steps that end a whole block.
    rest = name[whole:]
    second ^= _mix(int.from_bytes(rest[8:], "little"), _C2, 33, _C1)
    first ^= _mix(int.from_bytes(rest[:8], "little"), _C1, 31, _C2)
    first, second = first ^ len(name), second ^ len(name)
    first = first + second & _MASK
    second = second + first & _MASK
    return ((_finish(first) + _finish(second)) & _MASK).to_bytes(_HASH_BYTES, "big")


def build(entries: Sequence[Link], put: Callable[[Block], None]) -> tuple[Block, int]:
    """Spread the entries of a directory over shards.

    Args:
        entries: The links that a plain directory would have.
        put: Takes each block as it is made, children first, the root too.

    Returns:
        The root shard, and the size of all below it, itself included.
    """
    return _build([(hash_name(entry.name.encode()), entry) for entry in entries], 0, put)


def entries(node: Node) -> Iterator[tuple[str, Link]]:
    """Yield the links of a shard, each with its entry's name; an empty name leads to a further shard.

    Args:
        node: A shard of a directory.

    Raises:
        InvalidModel: The shard contradicts itself.
    """
    width = prefix_width(node)
    for link in node.links:
        try:
            place = int(link.name[:width], 16)
        except ValueError:
            place = -1
        if len(link.name) < width or not 0 <= place < (node.fanout or 0):
            raise InvalidModel(f"A shard of a directory has a link without a place: {link.name!r}.", name=link.name)
        yield link.name[width:], link


def place_of(name: str, node: Node, level: int) -> str:
    """Return the prefix that links of this name have in a shard at this level, 0 at the root.

    Args:
        name: The entry's name.
        node: The shard.
        level: How deep the shard is; 0 at the root.

    Raises:
        InvalidModel: The shards are nested deeper than the hash is long.
    """
    width = prefix_width(node)
    bits = (node.fanout or 0).bit_length() - 1
    shift = _HASH_BYTES * 8 - bits * (level + 1)
    if shift < 0:
        raise InvalidModel("The shards of a directory are nested deeper than their hash allows.")
    place = int.from_bytes(hash_name(name.encode()), "big") >> shift & ((1 << bits) - 1)
    return f"{place:0{width}X}"


def prefix_width(node: Node) -> int:
    """Return how many characters of a shard's link names are their place.

    Args:
        node: A shard of a directory.

    Raises:
        InvalidModel: The shard has another hash function, or a number of places that is not supported.
    """
    fanout = node.fanout or 0
    if node.hash != MURMUR3_64 or not 8 <= fanout <= MAX_FANOUT or fanout & (fanout - 1):
        raise InvalidModel(f"A directory's shard with hash function {node.hash} and {fanout} places is not supported.")
    return len(f"{fanout - 1:X}")


def _build(placed: Sequence[tuple[bytes, Link]], level: int, put: Callable[[Block], None]) -> tuple[Block, int]:
    if level >= _HASH_BYTES:
        raise InvalidModel("Two names in one directory have the same hash.")
    groups: dict[int, list[tuple[bytes, Link]]] = {}
    for item in placed:
        groups.setdefault(item[0][level], []).append(item)  # 256 places: each level takes a byte of the hash
    links, total, bitfield = [], 0, 0
    for place in sorted(groups):
        bitfield |= 1 << place
        group = groups[place]
        if len(group) == 1:  # a name alone in its place stands there itself; several share a shard below
            entry = group[0][1]
            links.append(Link(entry.cid, f"{place:02X}{entry.name}", entry.size))
        else:
            shard, size = _build(group, level + 1, put)
            links.append(Link(shard.cid, f"{place:02X}", size))
        total += links[-1].size
    data = bitfield.to_bytes((bitfield.bit_length() + 7) // 8, "big")
    block = encode(Node(Kind.SHARD, tuple(links), data, fanout=FANOUT, hash=MURMUR3_64))
    put(block)
    return block, total + len(block.data)


def _mix(value: int, one: int, turn: int, two: int) -> int:
    return _rotate(value * one & _MASK, turn) * two & _MASK


def _rotate(value: int, turn: int) -> int:
    return (value << turn | value >> (64 - turn)) & _MASK


def _finish(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return value ^ value >> 33
