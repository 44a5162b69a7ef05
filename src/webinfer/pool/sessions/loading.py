"""How far the creation of one session is."""

from __future__ import annotations

import asyncio

from webinfer.browsers.recipe import Recipe
from webinfer.core.errors import WebinferError
from webinfer.pool.events import SessionLoaded
from webinfer.transport.connection import OnTransfer


class Loading:
    """A session that somebody wants, and how far it is.

    Args:
        recipe: How a lane creates it.
        name: What it is called on the wire.

    Attributes:
        name: What it is called on the wire.
        recipe: How a lane creates it.
        loaded: Its first creation, once there was one.
        attempts: Creations tried since the last success.
        users: Models that opened it and have not closed it.
    """

    def __init__(self, recipe: Recipe, name: str) -> None:
        self.name = name
        self.recipe = recipe
        self.loaded: SessionLoaded | None = None
        self.attempts = 0
        self.users = 0
        self.watchers: list[OnTransfer] = []
        self._waiters: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        state = "loaded" if self.loaded else "waiting"
        return f"<Loading {self.name} {self.recipe.backend} {state}>"

    async def wait(self) -> None:
        """Wait until it is loaded.

        Raises:
            WebinferError: It could not be.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def transferred(self, done: int, total: int | None) -> None:
        """Tell the watchers how many bytes have arrived, of how many where that is known.

        Args:
            done: Bytes so far.
            total: Bytes in all, where that is known.
        """
        for watcher in self.watchers:
            watcher(done, total)

    def finish(self, loaded: SessionLoaded) -> None:
        """Wake whoever waits.

        Args:
            loaded: The event of its creation.
        """
        self.loaded = self.loaded or loaded
        self._wake(None)

    def fail(self, error: WebinferError) -> None:
        """Fail whoever waits.

        Args:
            error: Why.
        """
        self._wake(error)

    def _wake(self, error: WebinferError | None) -> None:
        waiters, self._waiters = self._waiters, []
        self.watchers.clear()
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
