"""Another backend for a model whose own backend fails in a run."""

from __future__ import annotations

import asyncio
from typing import Generic, Protocol, TypeVar

from webinfer.browsers.lane import Lane
from webinfer.core.errors import PoolClosed, RunFailed, RuntimeDied, UnsupportedOperator, WebinferError

Model = TypeVar("Model", covariant=True)


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
        lock: Held while another backend is tried.
    """

    def __init__(self) -> None:
        self.substitute: Substitute[Model] | None = None
        self.lock = asyncio.Lock()
        self._failures: tuple[type[WebinferError], ...] = (RuntimeDied, RunFailed, UnsupportedOperator)

    def __repr__(self) -> str:
        return f"<Failover to {self.substitute!r}>"

    def may_help(self, error: WebinferError, *, moved: bool) -> bool:
        """Return whether a failed request is worth another try.

        Args:
            error: How it failed.
            moved: Whether the model has moved to another backend since the request was sent.
        """
        if isinstance(error, PoolClosed):  # a move closes the session that other requests wait for
            return moved or self.lock.locked()
        return moved or (self.substitute is not None and isinstance(error, self._failures))

    def restrict(self) -> None:
        """Stay on this backend from now on, unless it costs lanes: the request or the model is at fault."""
        self._failures = (RuntimeDied,)
