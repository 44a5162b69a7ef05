from __future__ import annotations

import asyncio
import time

import pytest

from webinfer.pool.events import Event
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.batching import BatchGroup, Batching
from webinfer.pool.requests.batcher import Batcher
from webinfer.pool.requests.queue import Queues
from webinfer.pool.requests.request import Request

ONE, EIGHT = (SessionKey("a", "webnn", dimensions=(("batch", size),)) for size in (1, 8))
FULL, FREE = 2, 1  # a lane may run another batch meanwhile; a lane must be free


class Waiting:
    """Requests of one model, and who gathers them."""

    def __init__(self, batching: Batching, key: SessionKey = ONE) -> None:
        self.queues = Queues()
        self.woken = asyncio.Event()
        self.batcher = Batcher(self.queues, FULL, self)
        self._group = BatchGroup(batching, "alike", ONE, key)

    def announce(self, event: Event) -> None:
        raise AssertionError(event)

    def advance(self) -> None:
        self.woken.set()

    def push(self, count: int, submitted: float | None = None) -> None:
        for _ in range(count):
            number = self.queues.peak + 1
            self.queues.push(Request(ONE, {}, number=number, group=self._group, submitted=submitted or 0.0))

    def depths(self) -> dict[SessionKey, int]:
        ((priority, level),) = self.queues.levels()
        return dict(self.batcher.depths(priority, level))

    def count(self, key: SessionKey = ONE) -> int:
        ((_, level),) = self.queues.levels()
        return self.batcher.count(key, level)


async def test_partial_batch_wants_a_free_lane_and_a_full_one_does_not() -> None:
    waiting = Waiting(Batching(limit=4, patience=1.0))
    waiting.push(3)
    assert (waiting.depths(), waiting.count()) == ({ONE: FREE}, 3)
    waiting.push(3)
    assert (waiting.depths(), waiting.count()) == ({ONE: FULL}, 4)


async def test_fewer_than_ran_last_wait_for_a_while_and_then_leave() -> None:
    batching = Batching(limit=8, patience=1.0)
    now = time.perf_counter()
    batching.ran(4, seconds=3.0, now=now)
    waiting = Waiting(batching)
    waiting.push(2, submitted=now)
    assert waiting.depths() == {ONE: 0}
    await waiting.woken.wait()
    assert time.perf_counter() - now >= 0.3, "a tenth of the last run"
    assert waiting.depths() == {ONE: FREE}
    waiting.push(2, submitted=time.perf_counter())
    assert (waiting.depths(), waiting.count()) == ({ONE: FREE}, 4)


async def test_batch_may_take_what_was_meant_to_leave_alone() -> None:
    """Requests that run alone from now on are planned one by one; what comes behind them may not be."""
    waiting = Waiting(Batching(limit=8, patience=1.0))
    waiting.queues.push(Request(ONE, {}, number=0))
    waiting.push(3)
    ((priority, level),) = waiting.queues.levels()
    assert waiting.batcher.depths(priority, level) == {}
    counts = []
    for _ in range(4):
        counts.append(waiting.batcher.count(ONE, level))
        if counts[-1]:
            waiting.queues.take(priority, ONE, counts[-1])
    assert counts == [1, 3, 0, 0]


async def test_sooner_end_of_a_wait_is_not_missed_for_a_later_one() -> None:
    slow, quick = (Batching(limit=8, patience=60.0) for _ in range(2))
    now = time.perf_counter()
    slow.ran(4, seconds=600.0, now=now)
    quick.ran(4, seconds=3.0, now=now)
    waiting = Waiting(slow)
    waiting.push(1, submitted=now)
    assert waiting.depths() == {ONE: 0}
    waiting.queues.push(Request(EIGHT, {}, number=9, group=BatchGroup(quick, "other", EIGHT, EIGHT), submitted=now))
    assert waiting.depths() == {ONE: 0, EIGHT: 0}
    await asyncio.wait_for(waiting.woken.wait(), 50)  # the later one is due after a minute
    waiting.batcher.close()


async def test_full_batch_moves_to_the_session_that_runs_such() -> None:
    waiting = Waiting(Batching(8, 1.0, "full"), EIGHT)
    waiting.push(7)
    assert (waiting.depths(), waiting.count()) == ({ONE: FREE}, 1), "no session runs seven"
    waiting.push(12)
    assert waiting.depths() == {ONE: FREE, EIGHT: FULL}
    assert {key: len(queue) for key, queue in waiting.queues.sessions().items()} == {ONE: 3, EIGHT: 16}
    assert (waiting.count(ONE), waiting.count(EIGHT)) == (1, 8)
    assert [each.number for each in waiting.queues.sessions()[ONE]] == [17, 18, 19]


async def test_scheduler_sees_a_batch_that_leaves_nothing_behind() -> None:
    waiting = Waiting(Batching(8, 1.0, "full"), EIGHT)
    waiting.push(8)
    ((priority, level),) = waiting.queues.levels()
    assert waiting.batcher.depths(priority, level) == {EIGHT: FULL}
    assert list(level) == [EIGHT]
    assert len(waiting.queues.take(priority, EIGHT, 8)) == 8
    assert (waiting.queues.count, bool(waiting.queues)) == (0, False)


@pytest.mark.parametrize("key", [ONE, EIGHT])
async def test_nothing_is_gathered_once_batches_have_ended(key: SessionKey) -> None:
    batching = Batching(8, 1.0, "full")
    waiting = Waiting(batching, key)
    batching.end()
    waiting.push(20)
    assert waiting.count() == 1
    assert waiting.depths() == {ONE: FULL}
    assert set(waiting.queues.sessions()) == {ONE}
