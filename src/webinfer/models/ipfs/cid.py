"""Content identifiers: the names of blocks, which are hashes of their bytes. Pure.

Text and bytes follow the CID, multibase, multicodec and multihash specifications. CIDv0 (``Qm...``) is read and is from
then on the CIDv1 of the same block, so that one block has one name here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from webinfer.core.errors import InvalidModel, ModelNotFound

RAW, DAG_PB, LIBP2P_KEY = 0x55, 0x70, 0x72  # codecs, from the multicodec table
IDENTITY, SHA2_256, SHA2_512, BLAKE2B_256 = 0x00, 0x12, 0x13, 0xB220  # hash functions, from the same
CODECS = {RAW: "raw", DAG_PB: "dag-pb", LIBP2P_KEY: "libp2p-key", 0x71: "dag-cbor", 0x0129: "dag-json", 0x0200: "json"}
MAX_IDENTITY = 128  # bytes that an identity hash may carry, as other implementations limit it
MAX_TEXT = 512  # characters; the longest CID that is supported has fewer

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VARINT_BYTES = 9  # the limit of the varint specification


def _blake2b_256(data: Any = b"") -> Any:
    return hashlib.blake2b(data, digest_size=32)


HASHES: dict[int, tuple[Callable[[Any], Any], int]] = {
    SHA2_256: (hashlib.sha256, 32),
    SHA2_512: (hashlib.sha512, 64),
    BLAKE2B_256: (_blake2b_256, 32),
}


@dataclass(frozen=True, slots=True)
class CID:
    """The name of a block.

    Attributes:
        codec: How its bytes are to be read: ``RAW`` or ``DAG_PB`` for files and directories.
        hash: The hash function's number.
        digest: The hash of its bytes, or with ``IDENTITY`` the bytes themselves.
    """

    codec: int
    hash: int
    digest: bytes

    @classmethod
    def of(cls, codec: int, data: bytes | memoryview) -> CID:
        """Name a block by its SHA2-256.

        Args:
            codec: Multicodec of the contents: ``RAW`` or ``DAG_PB``.
            data: The block's bytes.

        Returns:
            A CID of version 1.
        """
        return cls(codec, SHA2_256, hashlib.sha256(data).digest())

    @classmethod
    def parse(cls, text: str) -> CID:
        """Read a CID as people write it.

        Args:
            text: A CID of version 0 or 1, with or without ``ipfs://``.

        Returns:
            The CID that the text stands for.

        Raises:
            ModelNotFound: It is no CID, or of a kind that cannot name a file or directory.
        """
        try:
            data = _decode(text)
            cid, end = read_cid(data, 0)
        except (ValueError, InvalidModel) as error:
            raise ModelNotFound(
                f"{text[:MAX_TEXT]!r} is no CID that can be used: {error}", cid=text[:MAX_TEXT]
            ) from None
        if end != len(data):
            raise ModelNotFound(f"{text!r} is no CID: there are bytes after it.", cid=text)
        if cid.codec == LIBP2P_KEY:
            raise ModelNotFound(
                f"{text} is an IPNS name: it may name other contents tomorrow. Give the CID it stands for.", cid=text
            )
        if cid.codec not in (RAW, DAG_PB):
            raise ModelNotFound(
                f"{text} names {cid.kind} data. A model is a file or a directory, whose CIDs are raw or dag-pb.",
                cid=text,
            )
        return cid

    def __len__(self) -> int:
        return len(bytes(self))

    def __bytes__(self) -> bytes:
        return varint(1) + varint(self.codec) + self.multihash

    def __str__(self) -> str:
        return "b" + base64.b32encode(bytes(self)).decode().lower().rstrip("=")

    @property
    def multihash(self) -> bytes:
        """The hash with its function's number and its length."""
        return varint(self.hash) + varint(len(self.digest)) + self.digest

    @property
    def kind(self) -> str:
        """The codec's name, for people."""
        return CODECS.get(self.codec, f"codec 0x{self.codec:x}")

    @property
    def inline(self) -> bytes | None:
        """The block itself, where the CID carries it."""
        return self.digest if self.hash == IDENTITY else None

    def names(self, data: bytes | memoryview) -> bool:
        """Tell whether these are the bytes that the CID names.

        Args:
            data: The bytes of a block.

        Returns:
            Whether their hash is the one in the CID.
        """
        if self.hash == IDENTITY:
            return self.digest == data
        function, _ = HASHES[self.hash]
        return bool(function(data).digest() == self.digest)


def varint(number: int) -> bytes:
    """Write an unsigned varint.

    Args:
        number: 0 or more.

    Returns:
        Its bytes, 7 bits in each, the lowest first.
    """
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes | bytearray | memoryview, start: int) -> tuple[int, int]:
    """Read an unsigned varint.

    Args:
        data: Bytes that hold the varint.
        start: Index of its first byte.

    Returns:
        The number, and where the next byte is.

    Raises:
        InvalidModel: It is cut off, or longer than 9 bytes.
    """
    number = 0
    for place in range(_VARINT_BYTES):
        if start + place >= len(data):
            raise InvalidModel("a number is cut off.")
        byte = data[start + place]
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return number, start + place + 1
    raise InvalidModel("a number is longer than 9 bytes.")


def read_cid(data: bytes | bytearray | memoryview, start: int) -> tuple[CID, int]:
    """Read a binary CID.

    Args:
        data: Bytes that hold the CID.
        start: Index of its first byte.

    Returns:
        The CID, and where the next byte is.

    Raises:
        InvalidModel: It is cut off, or has a version or hash function that is not supported.
    """
    if bytes(data[start : start + 2]) == b"\x12\x20":  # CIDv0 is nothing but the multihash
        codec, place = DAG_PB, start
    else:
        version, place = read_varint(data, start)
        if version != 1:
            raise InvalidModel(f"there is no CID version {version}.")
        codec, place = read_varint(data, place)
    function, place = read_varint(data, place)
    length, place = read_varint(data, place)
    if function == IDENTITY:
        if length > MAX_IDENTITY:
            raise InvalidModel(f"an identity hash of {length} bytes is more than {MAX_IDENTITY}.")
    elif function not in HASHES:
        raise InvalidModel(f"hash function 0x{function:x} is not supported (sha2-256, sha2-512, blake2b-256 are).")
    elif length != HASHES[function][1]:
        raise InvalidModel(f"a hash of {length} bytes where {HASHES[function][1]} are due.")
    if place + length > len(data):
        raise InvalidModel("a CID is cut off.")
    return CID(codec, function, bytes(data[place : place + length])), place + length


def _decode(text: str) -> bytes:
    """Return the bytes of a CID's text: base58 for CIDv0, else by the multibase prefix.

    Raises:
        ValueError: The text is in no known base.
    """
    if not text or len(text) > MAX_TEXT:
        raise ValueError("it is empty or too long.")
    if len(text) == 46 and text.startswith("Qm"):
        return _base58(text)
    prefix, rest = text[0], text[1:]
    if prefix == "z":
        return _base58(rest)
    if prefix in "bB":
        if rest != (rest.lower() if prefix == "b" else rest.upper()) or "=" in rest:
            raise ValueError("it is not base32 as its first letter says.")
        return base64.b32decode(rest.upper() + "=" * (-len(rest) % 8))
    if prefix in "fF":
        return bytes.fromhex(rest)
    raise ValueError("it begins neither with Qm nor with the letter of a known base (b, z, f).")


def _base58(text: str) -> bytes:
    number = 0
    for letter in text:
        value = _BASE58.find(letter)
        if value < 0:
            raise ValueError(f"{letter!r} is no base58 letter.")
        number = number * 58 + value
    # Each leading 1 is a zero byte, which the number cannot show.
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")
