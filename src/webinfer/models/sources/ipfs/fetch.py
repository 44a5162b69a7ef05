"""Fetch a DAG, or several paths in one, from gateways and a local Kubo."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

import aiohttp

from webinfer.core.progress import Progress, ProgressCallback
from webinfer.models.ipfs.cid import CID
from webinfer.models.sources.ipfs import kubo
from webinfer.models.sources.ipfs.dag_fetch import AT_ONCE, Fetch, run_all
from webinfer.models.sources.ipfs.gateway import READ_BUFFER, Gateway, Patience, Peer
from webinfer.models.sources.ipfs.store.block_store import BlockStore


async def fetch(
    root: CID,
    path: str,
    store: BlockStore,
    *,
    gateways: Sequence[str],
    patience: Patience | None = None,
    progress: ProgressCallback | None = None,
    listing: bool = False,
) -> CID:
    """Bring a DAG, or what a path in it leads to, into the store.

    Args:
        root: The root.
        path: Names, separated by slashes; empty for everything.
        store: Where blocks are kept; those that are there are not fetched.
        gateways: Addresses of trustless gateways. A local Kubo is asked as well, if there is one.
        patience: How long to wait.
        progress: Called with the bytes that came.
        listing: Of a directory, fetch only the blocks that hold its names.

    Returns:
        What the path leads to.

    Raises:
        ModelNotFound, InvalidModel, FetchError, IntegrityError, StoreError: As ``Fetch.run`` does.
    """
    targets = await fetch_several(
        root, [path], store, gateways=gateways, patience=patience, progress=progress, listing=listing
    )
    return targets[0]


async def fetch_several(
    root: CID,
    paths: Sequence[str],
    store: BlockStore,
    *,
    gateways: Sequence[str],
    patience: Patience | None = None,
    progress: ProgressCallback | None = None,
    listing: bool = False,
    apart: bool = False,
) -> list[CID]:
    """Bring what several paths in a DAG lead to into the store, side by side; see ``fetch``.

    Args:
        apart: Bring all paths that can be had before the first error is raised. Otherwise it ends the others.
        root: CID of the DAG.
        paths: Paths below it; an empty one for all of it.
        store: Where the blocks go.
        gateways: Addresses to fetch from.
        patience: How long to wait for gateways; ``None`` for the usual times.
        progress: Called with the bytes of all paths together.
        listing: Of a directory, fetch only the blocks that hold its names.

    Returns:
        What each path leads to.

    Raises:
        ModelNotFound, InvalidModel, FetchError, IntegrityError, StoreError: As ``Fetch.run`` does.
    """
    patience = patience or Patience()
    limit = asyncio.Semaphore(AT_ONCE)
    tell = _Sum(progress).part if progress else lambda: None
    fetches = [Fetch(root, path, store, patience, tell(), listing=listing, limit=limit) for path in paths]
    missing = [job for job in fetches if not job.complete]
    if missing:  # else nobody is asked: what is in the store needs no network
        async with aiohttp.ClientSession(read_bufsize=READ_BUFFER, trust_env=True, auto_decompress=False) as session:
            peers: list[Peer] = [Gateway(url, session, patience) for url in gateways]
            peers[:0] = await kubo.find(session, patience)
            if apart:
                await _run_to_end([job.run(peers) for job in missing])
            else:
                await run_all(job.run(peers) for job in missing)
    return [job.target for job in fetches]


class _Sum:
    """Bytes of several fetches, reported as one stage."""

    def __init__(self, progress: ProgressCallback) -> None:
        self._progress = progress
        self._last: dict[int, Progress] = {}

    def part(self) -> ProgressCallback:
        """Return the callback of one more."""
        number = len(self._last)
        self._last[number] = Progress("", 0, 0)

        def tell(progress: Progress) -> None:
            self._last[number] = progress
            totals = [latest.total for latest in self._last.values()]
            # Unknown until every fetch knows its own total.
            total = None if None in totals else sum(total or 0 for total in totals)
            self._progress(Progress(progress.stage, sum(latest.done for latest in self._last.values()), total))

        return tell


async def _run_to_end(jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all jobs to their ends, then raise the first error."""
    for ended in await asyncio.gather(*jobs, return_exceptions=True):
        if ended is not None:
            raise ended
