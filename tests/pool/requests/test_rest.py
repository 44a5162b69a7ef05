"""A request that lost its lane too often rests, and has as many attempts as find time before its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.pool.test_pool import Ground, ground
from webinfer.core.errors import DeadlineExceeded, PoolClosed, WebinferError
from webinfer.core.placement import LaneId
from webinfer.pool.events import RunFailedEvent
from webinfer.pool.requests import request as requests
from webinfer.pool.requests.request import Request

__all__ = ["ground"]  # a fixture

Make = Callable[..., Ground]
Lost = tuple[Ground, Request, asyncio.Future[Any]]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "backoff", lambda rests: 0.02 * rests)
    monkeypatch.setattr(requests, "_LEAST", 0.05)


@pytest.fixture
async def lost(ground: Make) -> Lost:
    """A pool, and a request that rests after its second loss."""
    ours = ground(retries=1)
    key = await ours.open()
    request = Request(key, {"x": np.full((1, 1), 7, np.float32)}, timeout=5.0)
    future = ours.pool.submit(request)
    for number in (1, 2):
        ours.socket(number).drop()
        await ours.settle()
    assert [event.retried for event in ours.of(RunFailedEvent)] == [True, True]
    assert ours.pool.queued == 1
    assert not ours.pool.busy
    return ours, request, future


async def test_it_is_answered_in_the_end(lost: Lost) -> None:
    ours, _, future = lost
    for number in range(3, 7):
        await asyncio.sleep(0.2)
        ours.socket(number).drop()
        await ours.settle()
    await asyncio.sleep(0.3)
    ours.socket(7).answer()
    assert (await future).tensors["x"] == 7
    await ours.settle()
    assert ours.pool.queued == 0


async def test_its_deadline_ends_it_while_it_rests(ground: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "backoff", lambda _: 60.0)
    ours = ground(retries=1)
    future = ours.submit(await ours.open(), timeout=0.4)
    for number in (1, 2):
        ours.socket(number).drop()
        await ours.settle()
    await asyncio.sleep(0.25)  # half of what was left, and it is sent once more
    ours.socket(3)
    with pytest.raises(DeadlineExceeded, match=r"within 0\.4 s"):
        await future


async def test_closing_fails_it(lost: Lost) -> None:
    ours, _, future = lost
    await ours.pool.close()
    with pytest.raises(PoolClosed):
        await future


async def test_caller_who_goes_leaves_nothing(lost: Lost) -> None:
    ours, request, _ = lost
    ours.pool.give_up(request)
    await asyncio.sleep(0.2)
    assert ours.pool.queued == 0
    assert not ours.socket(3).runs


async def test_without_a_deadline_it_ends_by_its_number(ground: Make) -> None:
    ours = ground(retries=1)
    future = ours.submit(await ours.open())
    for number in range(1, 8):
        await asyncio.sleep(0.15)
        ours.socket(number).drop()
        await ours.settle()
    with pytest.raises(WebinferError, match="socket closed"):
        await future
    assert sum(event.retried for event in ours.of(RunFailedEvent)) == 6
    assert LaneId("b1", 8) in ours.pool.lanes


async def test_who_wants_no_retries_wants_no_rest(ground: Make) -> None:
    ours = ground(retries=0)
    future = ours.submit(await ours.open(), timeout=5.0)
    ours.socket().drop()
    with pytest.raises(WebinferError, match="socket closed"):
        await future
