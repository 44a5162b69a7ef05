"""Which failed requests are worth another try on another backend; see also ``browser/test_substitute.py``."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from webinfer.core.errors import (
    DeadlineExceeded,
    PoolClosed,
    RunFailed,
    RuntimeDied,
    UnsupportedOperator,
    WebinferError,
)
from webinfer.inference.failover import Failover, Substitute


@pytest.fixture
def failover() -> Failover[Any]:
    failover: Failover[Any] = Failover()
    failover.substitute = cast(Substitute[Any], object())  # it is only there; nothing is loaded
    return failover


@pytest.mark.parametrize("error", [RuntimeDied(), RunFailed(), UnsupportedOperator()])
def test_failure_of_the_backend_is_worth_another_try(failover: Failover[Any], error: WebinferError) -> None:
    assert failover.may_help(error, moved=False)
    assert not Failover[Any]().may_help(error, moved=False)


def test_other_errors_stay_unless_the_model_moved(failover: Failover[Any]) -> None:
    assert not failover.may_help(DeadlineExceeded(), moved=False)
    assert failover.may_help(RunFailed(), moved=True)


async def test_closed_session_is_worth_another_try_during_a_move(failover: Failover[Any]) -> None:
    assert not failover.may_help(PoolClosed(), moved=False)
    going = asyncio.Event()
    moving = failover.begin(going.wait())
    assert failover.may_help(PoolClosed(), moved=False)
    going.set()
    assert await moving
    assert not failover.may_help(PoolClosed(), moved=False)
    assert failover.may_help(PoolClosed(), moved=True)


async def test_move_goes_on_where_its_request_is_given_up(failover: Failover[Any]) -> None:
    going, ended = asyncio.Event(), asyncio.Event()

    async def move() -> None:
        await going.wait()
        ended.set()

    failover.begin(move()).cancel()
    await asyncio.sleep(0)
    assert failover.is_moving
    going.set()
    await failover.settle()
    assert ended.is_set()


def test_only_lost_lanes_count_once_no_backend_answered(failover: Failover[Any]) -> None:
    failover.restrict()
    assert failover.may_help(RuntimeDied(), moved=False)
    assert not failover.may_help(RunFailed(), moved=False)
