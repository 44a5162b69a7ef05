"""Work side by side: all of it ends before the first error is raised, and results keep their order."""

from __future__ import annotations

import asyncio

import pytest

from webinfer.core.lifetime.background import gather_all


async def test_results_keep_their_order() -> None:
    async def after(turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return turns

    assert await gather_all(after(turns) for turns in (3, 1, 2)) == [3, 1, 2]


async def test_first_error_in_order_is_raised_once_all_have_ended() -> None:
    ended = []

    async def fail(name: str, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        ended.append(name)
        raise ValueError(name)

    with pytest.raises(ValueError, match="slow"):
        await gather_all([fail("slow", 5), fail("fast", 1)])
    assert ended == ["fast", "slow"]
