"""A trustless gateway, asked over HTTP for archives and single blocks, which are verified elsewhere.

It follows the *Trustless Gateway* specification: ``format`` and ``Accept`` ask for the form of an answer. Nothing that
a gateway says is trusted, not even that an answer is complete.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urlsplit

import aiohttp

from webinfer.core.errors import FetchError, IntegrityError, OptionError
from webinfer.models.ipfs.block import MAX_BLOCK, Block, check_size
from webinfer.models.ipfs.car import CarReader
from webinfer.models.ipfs.cid import CID

VARIABLE = "WEBINFER_IPFS_GATEWAYS"
PROBE = "bafkqaaa"  # the empty identity block, which every gateway can answer for without looking for it
CAR_TYPE, RAW_TYPE = "application/vnd.ipld.car", "application/vnd.ipld.raw"
CAR_ACCEPT = f"{CAR_TYPE}; version=1; order=dfs; dups=n"
READ_BUFFER = 1 << 20  # bytes read ahead from a connection; the default of 64 KiB slows a fetch down

_MEANINGS = {
    400: "says that it does not understand the question",
    401: "wants a login",
    403: "refuses",
    404: "has no such block",
    406: "does not speak CARv1; it may be no trustless gateway",
    410: "says that it is gone for good",
    412: "does not have it at hand",
    429: "is asked too often",
    451: "may not pass it on, for legal reasons",
    500: "failed",
    502: "could not get it",
    503: "is busy",
    504: "could not find it in time",
}
_PASSING = frozenset({429, 500, 502, 503, 504})  # a later question may succeed


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for peers, in seconds.

    Attributes:
        connect: For a connection.
        silence: For the next bytes of an answer.
        head_start: For one peer before the next one is asked too.
        back_off: Before a peer that failed is asked again; it doubles each time.
        longest: Limit of ``back_off``, and of the time that a peer asks for.
        rounds: How many times a block is asked for; a count, no time.
    """

    connect: float = 10.0
    silence: float = 30.0
    head_start: float = 1.0
    back_off: float = 0.5
    longest: float = 30.0
    rounds: int = 4


@dataclass(frozen=True, slots=True)
class Question:
    """What a peer is asked for.

    Attributes:
        cid: A block.
        path: A path from there on, whose blocks are wanted too.
        whole: Everything below as well.
    """

    cid: CID
    path: str = ""
    whole: bool = True


class GatewayAnswer(Protocol):
    """Blocks as they come; unverified."""

    def blocks(self) -> AsyncIterator[Block]:
        """Yield the blocks."""

    def close(self) -> None:
        """Close the connection."""


class Peer(Protocol):
    """A source of blocks."""

    name: str

    async def probe(self) -> None:
        """Find out whether it answers at all."""

    async def ask(self, question: Question) -> GatewayAnswer:
        """Ask, and wait for the first bytes of the answer.

        Args:
            question: What is wanted.

        Returns:
            The answer, whose body is yet to be read.

        Raises:
            FetchError: The peer has no answer.
        """


class Gateway:
    """A trustless gateway.

    Args:
        url: Its address, ``/ipfs/`` left out.
        session: Connections.
        patience: How long to wait.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession, patience: Patience) -> None:
        self.name = check_url(url)
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=patience.connect, sock_read=patience.silence)

    def __repr__(self) -> str:
        return f"<Gateway {self.name}>"

    async def probe(self) -> None:
        """Ask for the empty block.

        Raises:
            FetchError: There is no trustless gateway.
        """
        answer = await self.ask(Question(CID.parse(PROBE), whole=False))
        answer.close()

    async def ask(self, question: Question) -> GatewayAnswer:
        """Ask, and wait for the answer's head.

        Args:
            question: What is wanted.

        Returns:
            The answer, whose body is yet to be read.

        Raises:
            FetchError: It has no answer. In ``data``, ``passing`` tells whether it may have one later, and ``after`` in
                how many seconds.
            IntegrityError: The answer is of another kind than was asked for: a login page, say.
        """
        names = [quote(name, safe="") for name in question.path.split("/") if name]
        url = "/".join([self.name, "ipfs", str(question.cid), *names])
        expected = CAR_TYPE if question.whole else RAW_TYPE
        query = {"format": "raw"}
        if question.whole:
            query = {"format": "car", "dag-scope": "all", "car-version": "1", "car-order": "dfs", "car-dups": "n"}
        headers = {"Accept": CAR_ACCEPT if question.whole else RAW_TYPE, "Accept-Encoding": "identity"}
        with failures(self.name):
            response = await self._session.get(url, params=query, headers=headers, timeout=self._timeout)
        try:
            check_status(self.name, response)
            if response.content_type != expected:
                raise IntegrityError(
                    f"It answered with {response.content_type} in place of {expected}, so it is no trustless gateway, "
                    "or something stands between (a proxy's page, a login).",
                    peer=self.name,
                    content_type=response.content_type,
                )
        except BaseException:  # the caller gets no answer that it could close
            response.close()
            raise
        return HttpAnswer(self.name, response, question)


class HttpAnswer:
    """An archive, or a single block, as it comes over HTTP.

    Args:
        peer: Who sends it.
        response: The response, its head checked.
        question: What was asked.
    """

    def __init__(self, peer: str, response: aiohttp.ClientResponse, question: Question) -> None:
        self._peer = peer
        self._response = response
        self._question = question

    async def blocks(self) -> AsyncIterator[Block]:
        """Yield the blocks.

        Raises:
            FetchError: The answer stopped or broke off.
            IntegrityError: It is no archive, or a block is larger than 2 MiB.
        """
        if not self._question.whole:
            yield await self._single()
            return
        reader = CarReader()
        while True:
            with failures(self._peer):
                piece = await self._response.content.readany()
            if not piece:
                break
            for block in reader.feed(piece):
                yield block
        reader.finish()

    def close(self) -> None:
        """Close the connection."""
        self._response.close()

    async def _single(self) -> Block:
        data = bytearray()
        while True:
            with failures(self._peer):
                piece = await self._response.content.readany()
            if not piece:
                return Block(self._question.cid, bytes(data))
            data += piece
            if len(data) > MAX_BLOCK:  # refused before the rest comes
                check_size(self._question.cid, len(data))


def check_status(peer: str, response: aiohttp.ClientResponse) -> None:
    """Turn every status but 200 into an error.

    Args:
        peer: The gateway's address, for errors.
        response: Its answer.

    Raises:
        FetchError: The status is not 200.
    """
    status = response.status
    if status == 200:
        return
    after = response.headers.get("Retry-After", "")
    raise FetchError(
        f"It {_MEANINGS.get(status, 'gave no answer')} (HTTP {status}).",
        peer=peer,
        status=status,
        passing=status in _PASSING,
        after=float(after) if after.isascii() and after.isdigit() else None,
    )


@contextlib.contextmanager
def failures(peer: str) -> Iterator[None]:
    """Turn the errors of a connection into ours.

    Args:
        peer: The gateway's address, for errors.

    Raises:
        FetchError: The connection failed inside the context.
    """
    try:
        yield
    except TimeoutError as error:
        raise FetchError("It sent nothing for too long.", peer=peer, passing=True) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(
            f"It could not be asked: {str(error) or type(error).__name__}.", peer=peer, passing=True
        ) from error


def check_url(url: str) -> str:
    """Return a gateway's address without ``/ipfs``.

    Args:
        url: What a user gave.

    Returns:
        The address, without a slash at its end.

    Raises:
        OptionError: It is no such address.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise OptionError(f"{url!r} is no address of a gateway; write it like http://127.0.0.1:8080.", option=VARIABLE)
    return url.strip().rstrip("/").removesuffix("/ipfs")


def gateways_here() -> tuple[str, ...]:
    """Return the addresses that ``WEBINFER_IPFS_GATEWAYS`` names, separated by commas."""
    return tuple(check_url(url) for url in os.environ.get(VARIABLE, "").split(",") if url.strip())
