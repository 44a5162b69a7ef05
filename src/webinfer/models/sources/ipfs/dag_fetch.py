"""One DAG on its way into the store: several peers raced, every block verified before it is used or kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from webinfer.core.errors import FetchError, IntegrityError
from webinfer.core.progress import Progress, ProgressCallback
from webinfer.models.ipfs.block import Block
from webinfer.models.ipfs.cid import CID, RAW
from webinfer.models.ipfs.dag_pb import decode
from webinfer.models.ipfs.frontier import Frontier, Want
from webinfer.models.sources.ipfs.gateway import VARIABLE, GatewayAnswer, Patience, Peer, Question
from webinfer.models.sources.ipfs.store.block_store import BlockStore

_log = logging.getLogger("webinfer.models.ipfs")
AT_ONCE = 6  # questions under way at once, as many as browsers send to one server
_BEING_KEPT = 4  # blocks of one answer being hashed and written while the next ones come


@dataclass(slots=True, eq=False)
class _Standing:
    """What one fetch knows of a peer."""

    peer: Peer
    rank: float
    ready: float = 0.0  # the time from which it may be asked again
    failures: int = 0
    waits: int = 0  # times in a row that it was to be left alone for a while
    refused: IntegrityError | None = None  # it sent something wrong; it is asked no more
    last: FetchError | None = None


@dataclass(slots=True)
class _Tally:
    stage: str
    progress: ProgressCallback | None
    done: int = 0
    total: int | None = None
    blocks: int = 0

    def add(self, nbytes: int) -> None:
        self.done += nbytes
        self.blocks += 1
        if self.progress is not None:
            self.progress(Progress(self.stage, self.done, self.total))


class Fetch:
    """One DAG on its way into the store.

    Args:
        root: Its root.
        path: Only what this path leads to, with the blocks on the way.
        store: Where blocks are kept; those that are there are not fetched.
        patience: How long to wait.
        progress: Called with the bytes that came.
        listing: Of a directory, fetch only the blocks that hold its names.
        limit: Held by each question. Fetches that share one send no more questions at once than one fetch alone.
    """

    def __init__(
        self,
        root: CID,
        path: str,
        store: BlockStore,
        patience: Patience,
        progress: ProgressCallback | None = None,
        *,
        listing: bool = False,
        limit: asyncio.Semaphore | None = None,
    ) -> None:
        self._frontier = Frontier(root, path, store.find, store.holds, listing=listing)
        self._listing = listing
        self._path = path
        self._store = store
        self._standings: list[_Standing] = []
        self._patience = patience
        self._tally = _Tally(f"fetch {root}", progress)
        self._keeping: set[CID] = set()
        self._limit = limit or asyncio.Semaphore(AT_ONCE)

    def __repr__(self) -> str:
        return f"<Fetch {self._frontier.root} {self._tally.blocks} blocks, {self._tally.done} bytes>"

    @property
    def target(self) -> CID:
        """What the path leads to, once that is known."""
        assert self._frontier.target is not None
        return self._frontier.target

    @property
    def complete(self) -> bool:
        """Whether all is in the store."""
        return not self._frontier.wanted

    async def run(self, peers: Sequence[Peer]) -> None:
        """Fetch all that is missing.

        Args:
            peers: Whom to ask.

        Raises:
            ModelNotFound: The path leads nowhere.
            InvalidModel: A block is right and no file or directory.
            FetchError: No peer has some block; the message has each one's reason.
            IntegrityError: Every peer sent wrong bytes.
            StoreError: The disk failed.
        """
        self._standings = [_Standing(peer, rank) for rank, peer in enumerate(peers)]
        await self._rank()
        while self._frontier.wanted:
            before = self._tally.blocks
            wanted = list(self._frontier.wanted.items())
            await run_all(self._bring(cid, want, turn) for turn, (cid, want) in enumerate(wanted))
            # No block came, though each was asked for as often as ``Patience.rounds`` allows.
            if self._tally.blocks == before:
                raise self._failure()

    async def _rank(self) -> None:
        """Order the peers by how fast they answer; those that do not answer are asked last."""
        if len(self._standings) < 2:
            return
        loop = asyncio.get_running_loop()

        async def probe(standing: _Standing) -> None:
            begun = loop.time()
            try:
                async with asyncio.timeout(self._patience.connect):
                    await standing.peer.probe()
                standing.rank = loop.time() - begun
            except (FetchError, TimeoutError):
                standing.rank, standing.failures = float("inf"), 1

        await run_all(probe(standing) for standing in self._standings)
        self._standings.sort(key=lambda standing: standing.rank)

    async def _bring(self, cid: CID, want: Want, turn: int) -> None:
        """Get one wanted block, and what comes with it."""
        # Leaves, shards within a directory, and a listing's blocks are asked for singly; all else comes as one archive.
        question = Question(cid, whole=False)
        if not want.level and cid.codec != RAW and not self._listing:
            question = Question(cid, "/".join(want.names))
        denied: set[_Standing] = set()
        async with self._limit:
            for _ in range(self._patience.rounds):
                asked = await self._ready(turn, denied)
                if not asked or cid not in self._frontier.wanted:  # another answer may have brought it meanwhile
                    return
                await self._try(asked, question, denied)

    async def _ready(self, turn: int, denied: set[_Standing]) -> list[_Standing]:
        """Return the peers to ask, best first. Where all must be left alone for a while, wait for the first."""
        now = asyncio.get_running_loop().time
        while True:
            usable = [standing for standing in self._standings if standing.refused is None and standing not in denied]
            ready = [standing for standing in usable if standing.ready <= now()]
            if ready or not usable:
                break
            await asyncio.sleep(min(standing.ready for standing in usable) - now())
        if not ready:
            return []
        ready.sort(key=lambda standing: standing.failures)
        best = [standing for standing in ready if standing.failures == ready[0].failures]
        spread = turn % len(best)  # many questions at once go to different peers
        return best[spread:] + best[:spread] + ready[len(best) :]

    async def _try(self, asked: list[_Standing], question: Question, denied: set[_Standing]) -> None:
        standing, answer = await self._race(asked, question, denied)
        if standing is None or answer is None:
            return
        try:
            await self._receive(answer)
            standing.waits = 0
            if question.cid in self._frontier.wanted:
                raise FetchError("It answered without the block that it was asked for.", peer=standing.peer.name)
        except FetchError as error:
            self._blame(standing, error, denied)
        finally:
            answer.close()

    async def _race(
        self, asked: list[_Standing], question: Question, denied: set[_Standing]
    ) -> tuple[_Standing | None, GatewayAnswer | None]:
        """Return the gateway that begins to answer first, and its answer; better ones have a head start."""
        running: dict[asyncio.Task[GatewayAnswer], _Standing] = {}
        waiting = list(asked)
        try:
            while waiting or running:
                if waiting:
                    standing = waiting.pop(0)
                    running[asyncio.create_task(standing.peer.ask(question))] = standing
                patience = self._patience.head_start if waiting else None
                done, _ = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                # Others that answered at this moment stay in ``running``, so that their answers are closed below.
                for task in done:
                    try:
                        answer = task.result()
                    except FetchError as error:
                        self._blame(running.pop(task), error, denied)
                    else:
                        return running.pop(task), answer
            return None, None
        finally:
            await _drop(running)

    async def _receive(self, answer: GatewayAnswer) -> None:
        """Take the wanted blocks of an answer; hash and write some while the next ones come."""
        keeping: set[asyncio.Task[None]] = set()
        try:
            async for block in answer.blocks():
                if block.cid not in self._frontier.wanted or block.cid in self._keeping:
                    continue  # it is not wanted, or another answer had it first
                if len(keeping) >= _BEING_KEPT:
                    done, keeping = await asyncio.wait(keeping, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                self._keeping.add(block.cid)
                keeping.add(task := asyncio.create_task(self._keep(block)))
                if block.cid.codec != RAW:
                    await task  # it says what is wanted next
            for task in keeping:
                await task
        finally:
            await asyncio.gather(*keeping, return_exceptions=True)  # no thread writes on after an error

    async def _keep(self, block: Block) -> None:
        # Stored before it is taken: what ``complete`` counts is on disk. No ``await`` stands between ``discard`` and
        # ``take``, so every other answer sees the block either as being kept or as no longer wanted.
        try:
            await asyncio.to_thread(self._store.put, block)
        finally:
            self._keeping.discard(block.cid)
        if block.cid == self._frontier.target and self._tally.total is None:
            self._tally.total = self._tally.done + _weight(block)
        self._frontier.take(block)
        self._tally.add(len(block.data))

    def _blame(self, standing: _Standing, error: FetchError, denied: set[_Standing]) -> None:
        _log.debug("%s: %s", standing.peer.name, error)
        standing.last = error
        standing.failures += 1
        if isinstance(error, IntegrityError):
            standing.refused = error
        elif not error.data.get("passing"):
            denied.add(standing)
        else:
            self._back_off(standing, error.data.get("after") or 0.0)

    def _back_off(self, standing: _Standing, asked_for: float) -> None:
        """Leave a peer alone for a while, twice as long each time. Questions that fail side by side count once."""
        now = asyncio.get_running_loop().time()
        if standing.ready <= now:
            wait = max(self._patience.back_off * 2**standing.waits, asked_for)
            standing.ready = now + min(wait, self._patience.longest)
            standing.waits += 1

    def _failure(self) -> FetchError:
        wanted = self._frontier.wanted
        first = next(iter(wanted))
        reasons = {standing.peer.name: str(standing.last or "It was not asked.") for standing in self._standings}
        causes = " ".join(f"{peer}: {reason}" for peer, reason in reasons.items()) or (
            f"There is nobody to ask: set {VARIABLE} to the addresses of trustless gateways, separated by commas, "
            "or run 'webinfer ipfs serve' on a machine that has it."
        )
        wrong = bool(self._standings) and all(standing.refused is not None for standing in self._standings)
        kind = IntegrityError if wrong else FetchError
        what = f"{self._frontier.root}{'/' + self._path if self._path else ''}"
        return kind(
            f"Could not fetch {what}: block {first} is missing"
            + (f", and {len(wanted) - 1} more" if len(wanted) > 1 else "")
            + f". {causes}",
            root=str(self._frontier.root),
            missing=[str(cid) for cid in wanted][:100],
            peers=reasons,
        )


async def run_all(jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run jobs at once; the first error ends the others.

    Args:
        jobs: What to run.

    Raises:
        Exception: The first error of any.
    """
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _drop(running: dict[asyncio.Task[GatewayAnswer], _Standing]) -> None:
    """Cancel the losers of a race, and close the answers that came before that."""
    for task in running:
        task.cancel()
    for ended in await asyncio.gather(*running, return_exceptions=True):
        if not isinstance(ended, BaseException):
            ended.close()


def _weight(block: Block) -> int:
    return len(block.data) + sum(link.size for link in decode(block.cid, block.data).links)
