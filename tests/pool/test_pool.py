"""Every request ends in one result or one error, whatever is lost: the whole pool, over lanes of no process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.pool.standins import NAME, StandInBrowser, StandInConnection
from webinfer.browsers.browser import Browser
from webinfer.browsers.recipe import Recipe
from webinfer.core.errors import (
    BackendUnavailable,
    DeadlineExceeded,
    FrameTooLarge,
    MalformedFrame,
    PoolClosed,
    QueueFull,
    RunFailed,
    WebinferError,
)
from webinfer.core.options import Backend, Options
from webinfer.core.placement import LaneId
from webinfer.pool.events import (
    BatchFinished,
    BrowserEnded,
    Event,
    LaneEnded,
    LoadFailedEvent,
    RunFailedEvent,
    RunFinished,
)
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.batching import BatchGroup, Batching
from webinfer.pool.pool import Pool
from webinfer.pool.requests.request import Request
from webinfer.transport.wire.commands import FileSource


class Ground:
    """A pool over browsers of no process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.events: list[Event] = []
        self.browsers: list[StandInBrowser] = []
        host: Any = SimpleNamespace(on_stall=None)
        installation: Any = SimpleNamespace(name=NAME)
        monkeypatch.setattr(Browser, "launch", self._launch)
        self.pool = Pool(host, [installation], Options.of(**{"lanes": 1, "progressive_backoff": False, **options}))
        self.pool.listen(self.events.append)

    async def open(self, name: str = "a", backend: Backend = "wasm") -> SessionKey:
        """Have a session on a lane."""
        key = SessionKey(name * 64, backend)
        self.pool.open(key, Recipe(FileSource("m", 3), (), backend, outputs={"x": np.dtype(np.float32)}))
        await self.pool.load(key)
        return key

    def submit(self, key: SessionKey, value: float = 0.0, **changes: Any) -> asyncio.Future[Any]:
        """Ask for a run that gives its input back."""
        return self.pool.submit(Request(key, {"x": np.full((1, 1), value, np.float32)}, **changes))

    def socket(self, number: int = 1, browser: str = "b1") -> StandInConnection:
        """Return a lane's socket."""
        socket: Any = self.pool.lanes[LaneId(browser, number)]._connection  # the far side is the test's
        assert isinstance(socket, StandInConnection)
        return socket

    def of(self, *kinds: type) -> list[Any]:
        """Return the events of these kinds."""
        return [event for event in self.events if isinstance(event, kinds)]

    async def settle(self) -> None:
        """Let everything that was begun come to its end."""
        for _ in range(50):
            await asyncio.sleep(0)

    async def _launch(self, id: str, host: Any, installation: Any, owner: Any, **options: Any) -> StandInBrowser:
        gate = asyncio.Event()
        gate.set()
        self.browsers.append(StandInBrowser(id, owner, gate))
        return self.browsers[-1]


@pytest.fixture
async def ground(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Ground]]:
    grounds: list[Ground] = []

    def make(**options: Any) -> Ground:
        grounds.append(Ground(monkeypatch, **options))
        return grounds[-1]

    yield make
    for made in grounds:
        await made.pool.close()


Make = Callable[..., Ground]


async def test_lane_holds_two_and_the_rest_waits_in_order(ground: Make) -> None:
    ours = ground()
    key = await ours.open()
    futures = [ours.submit(key, value) for value in range(4)]
    assert (len(ours.socket().runs), ours.pool.queued, ours.pool.busy) == (2, 2, 1)
    for value, future in enumerate(futures):
        ours.socket().answer()
        assert (await future).tensors["x"] == value
    await ours.settle()
    assert (ours.pool.queued, ours.pool.busy, ours.pool.queue_peak, ours.pool.running_peak) == (0, 0, 2, 2)
    assert [event.lane for event in ours.of(RunFinished)] == [LaneId("b1", 1)] * 4


async def test_request_of_a_lost_lane_is_run_again_on_the_next(ground: Make) -> None:
    ours = ground()
    key = await ours.open()
    futures = [ours.submit(key, value) for value in range(3)]
    ours.socket().drop()
    assert not ours.pool.lanes, "no plan counts on it any more"
    assert ours.pool.queued == 3
    await ours.settle()
    for value, future in enumerate(futures):
        ours.socket(2).answer()
        assert (await future).tensors["x"] == value, "each has its old place"
    failed = ours.of(RunFailedEvent)
    assert [(event.lane, event.retried) for event in failed] == [(LaneId("b1", 1), True)] * 2
    assert len(ours.of(LaneEnded)) == 1


async def test_only_what_a_lane_computed_is_to_blame_for_its_loss(ground: Make) -> None:
    ours = ground(retries=0)
    key = await ours.open()
    poison, neighbour = ours.submit(key, 1), ours.submit(key, 2)
    ours.socket().drop()
    with pytest.raises(WebinferError, match="socket closed"):
        await poison
    await ours.settle()
    ours.socket(2).answer()
    assert (await neighbour).tensors["x"] == 2


async def test_error_of_its_own_is_the_callers(ground: Make) -> None:
    ours = ground()
    key = await ours.open()
    future = ours.submit(key)
    ours.socket().fail(RunFailed("The model divides by zero."))
    with pytest.raises(RunFailed, match="divides"):
        await future
    assert [event.retried for event in ours.of(RunFailedEvent)] == [False]
    assert list(ours.pool.lanes) == [LaneId("b1", 1)], "the lane is as good as before"


async def test_lane_that_answers_what_nobody_asked_is_replaced(ground: Make) -> None:
    ours = ground()
    key = await ours.open()
    future = ours.submit(key)
    ours.socket().answer(y=np.zeros((1, 1), np.float32))
    assert not ours.pool.lanes
    with pytest.raises(MalformedFrame, match="It is replaced"):
        await future
    await ours.settle()
    assert list(ours.pool.lanes) == [LaneId("b1", 2)]


async def test_request_over_the_limit_fails_alone(ground: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ground()
    key = await ours.open()

    def refuse(*_: Any) -> None:
        raise FrameTooLarge("It has 9 GB.")

    monkeypatch.setattr(ours.socket(), "post", refuse)
    future = ours.submit(key)
    with pytest.raises(FrameTooLarge):
        await future
    assert list(ours.pool.lanes) == [LaneId("b1", 1)]


async def test_deadline_of_what_runs_ends_its_lane_and_reruns_its_neighbour(ground: Make) -> None:
    ours = ground()
    key = await ours.open()
    late, neighbour = ours.submit(key, 1, timeout=0.02), ours.submit(key, 2)
    with pytest.raises(DeadlineExceeded, match="running"):
        await late
    await ours.settle()
    ours.socket(2).answer()
    assert (await neighbour).tensors["x"] == 2
    assert "a run took over 0.02 s" in ours.of(LaneEnded)[0].cause


async def test_deadline_on_a_gpu_ends_the_browser(ground: Make) -> None:
    ours = ground()
    key = await ours.open(backend="webgpu")
    late, neighbour = ours.submit(key, 1, timeout=0.02), ours.submit(key, 2)
    with pytest.raises(DeadlineExceeded):
        await late
    await ours.settle()
    assert [event.browser for event in ours.of(BrowserEnded)] == ["b1"]
    ours.socket(1, "b2").answer()
    assert (await neighbour).tensors["x"] == 2


async def test_deadline_of_what_waits_disturbs_no_lane(ground: Make) -> None:
    ours = ground()
    key = await ours.open()
    first, second = ours.submit(key, 1), ours.submit(key, 2)
    queued = ours.submit(key, 3, timeout=0.02)
    with pytest.raises(DeadlineExceeded, match="queued"):
        await queued
    for future in (first, second):
        ours.socket().answer()
        await future
    assert not ours.of(LaneEnded)


async def test_request_that_is_given_up_is_forgotten(ground: Make) -> None:
    ours = ground()
    key = await ours.open()
    requests = [Request(key, {"x": np.zeros((1, 1), np.float32)}) for _ in range(3)]
    for request in requests:
        ours.pool.submit(request)
    for request in requests:
        ours.pool.give_up(request)
    assert ours.pool.queued == 0
    for _ in range(2):
        ours.socket().answer()
    await ours.settle()
    assert not ours.of(RunFinished, RunFailedEvent)


async def test_gpu_that_is_refused_after_a_loss_is_had_in_another_browser(ground: Make) -> None:
    ours = ground()
    key = await ours.open(backend="webgpu")
    (lane,) = ours.pool.lanes.values()
    ours.pool.unload(key)
    other = SessionKey("b" * 64, "webgpu")
    ours.pool.open(other, Recipe(FileSource("m", 3), (), "webgpu", outputs={}))
    ours.pool._registry.lost_gpu.add("b1")  # as after the loss of a device
    ours.socket().refusals.append(BackendUnavailable("No adapter.", backend="webgpu", available=[]))
    loaded = await ours.pool.load(other)
    assert (lane.id, loaded.lane) == (LaneId("b1", 1), LaneId("b2", 1))
    assert [event.code for event in ours.of(LoadFailedEvent)] == ["lost.device"]


async def test_load_that_fails_fails_what_waits_for_it(ground: Make) -> None:
    ours = ground()
    await ours.open()
    other = SessionKey("b" * 64, "wasm")
    ours.pool.open(other, Recipe(FileSource("m", 3), (), "wasm", outputs={}))
    ours.socket().refusals.append(RunFailed("The graph is broken."))
    future = ours.submit(other)
    with pytest.raises(RunFailed, match="broken"):
        await future


async def test_model_that_is_closed_fails_what_waits(ground: Make) -> None:
    ours = ground()
    key = await ours.open()
    futures = [ours.submit(key) for _ in range(3)]
    ours.pool.unload(key)
    with pytest.raises(PoolClosed, match="model was closed"):
        await futures[2]
    ours.socket().answer()
    await futures[0]
    ours.socket().drop()
    with pytest.raises(PoolClosed, match="model was closed"):
        await futures[1]


async def test_closing_fails_all_that_is_under_way(ground: Make) -> None:
    ours = ground()
    key = await ours.open()
    futures = [ours.submit(key) for _ in range(3)]
    await ours.pool.close()
    for future in futures:
        with pytest.raises(PoolClosed):
            await future
    with pytest.raises(PoolClosed):
        ours.submit(key)
    assert ours.browsers[0].closed


async def test_full_queue_refuses_more(ground: Make) -> None:
    ours = ground(max_queue=1)
    key = await ours.open()
    futures = [ours.submit(key) for _ in range(3)]
    with pytest.raises(QueueFull):
        ours.submit(key)
    for future in futures:
        ours.socket().answer()
        await future


async def test_batch_that_is_lost_is_run_again_one_by_one(ground: Make) -> None:
    ours = ground()
    key = await ours.open()
    busy = ours.submit(key, 9)
    group = BatchGroup(Batching(4, 1.0), "alike", key, key)
    futures = [ours.submit(key, value, group=group) for value in range(3)]
    ours.socket().answer()
    await busy
    assert len(ours.socket().runs) == 1, "three at once"
    ours.socket().drop()
    await ours.settle()
    for value, future in enumerate(futures):
        ours.socket(2).answer()
        assert (await future).tensors["x"] == value
    assert not ours.of(BatchFinished)


async def test_request_bound_to_a_lane_is_not_run_elsewhere(ground: Make) -> None:
    ours = ground()
    key = await ours.open()
    future = ours.submit(key, pinned=LaneId("b1", 1))
    ours.socket().drop()
    with pytest.raises(WebinferError, match="socket closed"):
        await future
    assert [event.retried for event in ours.of(RunFailedEvent)] == [False]


async def test_internal_requests_count_nowhere(ground: Make) -> None:
    ours = ground()
    key = await ours.open()
    future = ours.submit(key, internal=True)
    ours.socket().answer()
    await future
    await ours.settle()
    assert not ours.of(RunFinished)
