"""Another backend for a model whose own backend fails in a run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, Protocol, TypeVar

from webinfer.browsers.lane import Lane
from webinfer.core.errors import PoolClosed, RunFailed, RuntimeDied, UnsupportedOperator, WebinferError

Model = TypeVar("Model", covariant=True)
T = TypeVar("T")


class Substitute(Protocol[Model]):
    """Loads a model on another backend, where webinfer chose the one that failed."""

    async def load(self, why: str) -> Model | None:
        """Load the model.

        Args:
            why: Why, for the results to say.

        Returns:
            The model on another backend; ``None`` where there is none.
        """

    async def remember(self, lane: Lane | None, why: str) -> None:
        """Keep that the first backend failed and this one answered.

        Args:
            lane: Where it failed.
            why: How it failed.
        """


class Failover(Generic[Model]):
    """Decides which failed requests of a model are worth another try.

    Attributes:
        substitute: Loads the model on another backend; ``None`` where the model stays on its own.
    """

    def __init__(self) -> None:
        self.substitute: Substitute[Model] | None = None
        self._move: asyncio.Task[Any] | None = None  # which tries another backend now
        self._failures: tuple[type[WebinferError], ...] = (RuntimeDied, RunFailed, UnsupportedOperator)

    def __repr__(self) -> str:
        return f"<Failover to {self.substitute!r}>"

    @property
    def is_moving(self) -> bool:
        """Whether another backend is tried now."""
        return self._move is not None

    def begin(self, move: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Start a move. It goes on if the request that began it is given up, because others may wait for it.

        Args:
            move: Tries another backend.

        Returns:
            A future of what the move returns. To cancel it leaves the move alone.
        """
        task = self._move = asyncio.create_task(move)
        task.add_done_callback(self._end)
        return asyncio.shield(task)

    async def settle(self) -> None:
        """Wait for the end of the move under way, if there is one."""
        if self._move is not None:
            await asyncio.wait([self._move])

    def may_help(self, error: WebinferError, *, moved: bool) -> bool:
        """Return whether a failed request is worth another try.

        Args:
            error: How it failed.
            moved: Whether the model has moved to another backend since the request was sent.
        """
        if isinstance(error, PoolClosed):  # a move closes the session that other requests wait for
            return moved or self.is_moving
        return moved or (self.substitute is not None and isinstance(error, self._failures))

    def restrict(self) -> None:
        """Stay on this backend from now on, unless it costs lanes: the request or the model is at fault."""
        self._failures = (RuntimeDied,)

    def _end(self, move: asyncio.Task[Any]) -> None:
        self._move = None
        if not move.cancelled():
            move.exception()  # read, so that asyncio does not report it where nobody waits any more
