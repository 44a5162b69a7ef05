"""What the sessions of every model can do, whether it is whole or in stages."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from webinfer.browsers.lane import Lane
from webinfer.browsers.recipe import Recipe
from webinfer.core.progress import ProgressCallback
from webinfer.deployment.prepare import Delivery
from webinfer.inference.sessions.capture import GraphCapture
from webinfer.pool.events import SessionLoaded
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.buckets import Fit
from webinfer.pool.requests.request import Request


class Answer(NamedTuple):
    """What lanes answered to a request.

    Attributes:
        tensors: Outputs by name, of the shape that was sent.
        lanes: The lanes that computed it: one for each stage of the model.
        captured: Whether the GPU recorded the run, or replayed it from an earlier one.
        notes: Why it was not recorded, where that was asked for.
        bundle: The build of the runtime that ran it, where it is another than the lane's own.
    """

    tensors: dict[str, NDArray[Any]]
    lanes: tuple[Lane, ...]
    captured: bool = False
    notes: tuple[str, ...] = ()
    bundle: str | None = None


class ModelSessions(Protocol):
    """What a model runs on: the sessions of one graph, or those of each of its stages."""

    @property
    def whole(self) -> bool:
        """Whether one lane runs all of it, so that requests may share a batch and leave state on that lane."""

    @property
    def hashes(self) -> tuple[str, ...]:
        """Hashes by which lanes hold it: its own, or those of its stages."""

    @property
    def delivery(self) -> Delivery:
        """What lanes are given of it."""

    @property
    def capture(self) -> GraphCapture:
        """Which of its runs a GPU may record and replay."""

    def open(self, bucket: Fit, *, stays: bool = False) -> SessionKey:
        """Return the key of the session for a shape, made known to the pool.

        Args:
            bucket: The shape.
            stays: Whether tensors of the run stay on its lane. The next run would overwrite those of a recorded one.

        Raises:
            PoolClosed: The model was closed.
        """

    def release(self, bucket: Fit) -> None:
        """Release the session of a shape that is none of the few buckets, unless something runs in it.

        Args:
            bucket: The shape.
        """

    def loaded(self, bucket: Fit) -> tuple[bool, ...]:
        """Say of each session that a shape needs whether a lane holds it already.

        Args:
            bucket: The shape.
        """

    async def load(self, bucket: Fit, progress: ProgressCallback | None = None) -> tuple[SessionLoaded, ...]:
        """Have each session that a shape needs created on at least one lane.

        Args:
            bucket: The shape.
            progress: Called with the bytes fetched so far.

        Raises:
            WebinferError: As the lane reported it.
        """

    async def answer(self, request: Request, bucket: Fit) -> Answer:
        """Have a request computed. Its times, its placement and its attempts are in the request afterwards.

        Args:
            request: The request.
            bucket: The shape that its tensors are brought to.

        Raises:
            WebinferError: As the runtime or the pool reported it.
        """

    def recipe(self, key: SessionKey) -> Recipe:
        """Return how a lane creates a session.

        Args:
            key: Which session.

        Raises:
            BackendUnavailable: The model runs in stages, which have a session each.
        """

    def end_capture(self, reason: str) -> None:
        """Have no run recorded from now on, and release the sessions of recorded runs in which nothing runs.

        Args:
            reason: Why, in words.
        """

    def withdraw(self) -> None:
        """Release every session until it is opened again. What waits for one fails with ``PoolClosed``."""

    def close(self) -> None:
        """Release every session."""
