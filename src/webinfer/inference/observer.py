"""What a model reports of its runs, and to whom: the protocol that telemetry implements and ``api`` hands in."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from webinfer.accuracy.record import Accuracy
from webinfer.inference.result import Result
from webinfer.models.files.package import ModelPackage
from webinfer.pool.requests.request import Request


class ModelDescription(Protocol):
    """A model, as far as what is reported of a request describes it."""

    @property
    def package(self) -> ModelPackage: ...
    @property
    def backend(self) -> str: ...
    @property
    def precision(self) -> str: ...


class RunObserver(Protocol):
    """Takes note of what models do."""

    def hit(self, found: bool) -> None:
        """Take note of a look-up of a model: found loaded, or not."""

    def checked(self, model: ModelDescription, browser: str, accuracy: Accuracy) -> None:
        """Take note of how a model's answers in a browser compare with the reference."""

    async def take(self, model: ModelDescription, request: Request, work: Awaitable[Result]) -> Result:
        """Await a result and take note of it, or that it failed."""

    def failed(
        self, error: BaseException, model: ModelDescription, request: Request | None = None, seconds: float = 0.0
    ) -> None:
        """Take note of a request that failed, or whose caller gave it up; ``None`` for one that was never made."""
