"""The portal runs coroutines for other threads, and never waits for itself."""

from __future__ import annotations

import asyncio

import pytest

from webinfer.api.sync.portal import Portal
from webinfer.core.errors import WrongLoop


def test_waiting_on_the_portals_own_thread_is_refused() -> None:
    portal = Portal()

    async def wait_for_itself() -> None:
        portal.call(asyncio.sleep(0))

    with pytest.raises(WrongLoop, match="must not wait"):
        portal.start(wait_for_itself()).result(10)
    portal.close()
