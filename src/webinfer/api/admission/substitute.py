"""Another backend for a model whose own backend fails in a run, if webinfer chose that backend."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from webinfer.accuracy.outcome import recall_failure, remember_failure
from webinfer.api.admission.gate import combination, lanes_of
from webinfer.browsers.lane import Lane
from webinfer.core.errors import BackendError, LostError, RuntimeDied, UnsupportedOperator
from webinfer.inference.model import AsyncModel
from webinfer.inference.route import Choice
from webinfer.pool.pool import Pool

log = logging.getLogger("webinfer")


class WasmSubstitute:
    """Loads a model on WebAssembly, which runs the most operators, and remembers why that was needed.

    Args:
        model: The model, loaded on another backend.
        load: Loads it for another choice.
    """

    def __init__(self, model: AsyncModel, load: Callable[[Choice], Awaitable[AsyncModel]]) -> None:
        self._name = model.name
        self._choice = model.choice
        self._model = model
        self._load = load

    def __repr__(self) -> str:
        return f"<WasmSubstitute for {self._name} on {self._choice.backend}>"

    async def load(self, why: str) -> AsyncModel | None:
        """Load the model on WebAssembly.

        Args:
            why: Why, for the results to say.

        Returns:
            The model; ``None`` if WebAssembly cannot load it either.
        """
        try:
            return await self._load(self._choice.elsewhere("wasm", f"{why}, so wasm was taken"))
        except (BackendError, LostError, UnsupportedOperator) as error:
            log.info("%s: %s, and wasm could not load it: %s", self._name, why, error)
            return None

    async def remember(self, lane: Lane | None, why: str) -> None:
        """Record that the first backend failed and WebAssembly answered, so that the next load begins with it.

        Args:
            lane: The lane that it failed on, if that is known.
            why: How it failed.
        """
        log.warning("%s: %s; it runs on wasm from now on", self._name, why)
        if lane is not None:
            await asyncio.to_thread(remember_failure, combination(self._model, lane), why)


async def note_death(model: AsyncModel, lane: Lane, error: RuntimeDied) -> None:
    """Record that the runtime died while it made a model's session.

    Args:
        model: The model.
        lane: The lane, or one like it.
        error: The error.
    """
    why = f"{model.backend} could not load it ({error.summary})"
    await asyncio.to_thread(remember_failure, combination(model, lane), why)


async def known_failure(pool: Pool, model: AsyncModel) -> str | None:
    """Return how a model failed in earlier runs on every lane that it may use; ``None`` if one lane has no failure.

    Args:
        pool: The pool.
        model: The model, not loaded yet.
    """
    failures = [await asyncio.to_thread(recall_failure, combination(model, lane)) for lane in lanes_of(pool, model)]
    return failures[0] if failures and None not in failures else None
