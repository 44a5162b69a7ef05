"""A local Kubo node, asked over its RPC interface; it finds blocks in the network by itself.

Its answers are verified like those of all peers.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import aiohttp

from webinfer.core.errors import FetchError
from webinfer.models.sources.ipfs.gateway import GatewayAnswer, HttpAnswer, Patience, Question, check_url, failures

VARIABLE = "WEBINFER_IPFS_API"
USUAL = "http://127.0.0.1:5001"
_PROBE_TIME = 1.0  # seconds; it runs on this machine or near it


class Kubo:
    """A node's RPC interface.

    Args:
        url: Its address, ``/api/v0`` left out.
        session: Connections.
        patience: How long to wait.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession, patience: Patience) -> None:
        self.name = check_url(url).removesuffix("/api/v0")
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=patience.connect, sock_read=patience.silence)

    def __repr__(self) -> str:
        return f"<Kubo {self.name}>"

    async def probe(self) -> None:
        """Ask for its version.

        Raises:
            FetchError: There is no Kubo.
        """
        with failures(self.name):
            async with self._session.post(f"{self.name}/api/v0/version", timeout=self._timeout) as response:
                body = await response.json() if response.content_type == "application/json" else None
        if response.status != 200 or not isinstance(body, dict) or "Version" not in body:
            raise FetchError(f"{self.name} is no Kubo.", peer=self.name)

    async def ask(self, question: Question) -> GatewayAnswer:
        """Ask for a block, or for an archive of all below it; with a path, for the path's first block.

        Args:
            question: What is wanted.

        Returns:
            The answer, whose body is yet to be read.

        Raises:
            FetchError: It has no answer.
        """
        # An export brings the whole DAG below a block, so a path is followed block by block.
        question = replace(question, path="", whole=question.whole and not question.path)
        call = "dag/export" if question.whole else "block/get"
        query = {"arg": str(question.cid)} | ({"progress": "false"} if question.whole else {})
        with failures(self.name):
            response = await self._session.post(f"{self.name}/api/v0/{call}", params=query, timeout=self._timeout)
        if response.status != 200:
            response.close()
            raise FetchError(f"It has no such block (HTTP {response.status}).", peer=self.name, status=response.status)
        return HttpAnswer(self.name, response, question)


async def find(session: aiohttp.ClientSession, patience: Patience) -> list[Kubo]:
    """Return the node that ``WEBINFER_IPFS_API`` names, or the one at the usual address if one answers there.

    An empty ``WEBINFER_IPFS_API`` means none.

    Args:
        session: A session of aiohttp, open.
        patience: How long to wait.

    Returns:
        One node, or none.
    """
    named = os.environ.get(VARIABLE)
    if named is not None:
        return [Kubo(named, session, patience)] if named.strip() else []
    usual = Kubo(USUAL, session, patience)
    try:
        async with asyncio.timeout(_PROBE_TIME):
            await usual.probe()
    except (FetchError, TimeoutError):
        return []
    return [usual]
