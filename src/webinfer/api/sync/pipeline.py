"""A task over a model, for any thread."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

from webinfer.api.sync.docstrings import mirroring
from webinfer.api.sync.model import Model
from webinfer.api.sync.portal import Portal
from webinfer.core.lifetime.process_bound import Resource
from webinfer.inference.result import Result
from webinfer.pipelines import AsyncPipeline


@mirroring(AsyncPipeline)
class Pipeline(Resource):
    """A task over a model in a browser. Made by ``Accelerator.pipeline`` and ``pipeline``; any thread may call it.

    Attributes:
        on_close: Called after it is closed; ``webinfer.pipeline`` ends its browser with this. ``None`` for nothing.
    """

    def __init__(self, inner: AsyncPipeline, portal: Portal, accelerator: object) -> None:
        self.on_close: Callable[[], None] | None = None
        self._inner = inner
        self._portal = portal
        self._accelerator = accelerator  # a reference, because the accelerator ends when it is garbage

    def __repr__(self) -> str:
        return repr(self._inner)

    def __call__(self, *inputs: Any, **parameters: Any) -> Any:
        """Return the task's answer; docs/reference/tasks.md lists each task's inputs and outputs."""
        return self._portal.call(self._inner(*inputs, **parameters))

    @property
    def task(self) -> str:
        """Its name, as Transformers calls it."""
        return self._inner.task

    @property
    def model(self) -> Model:
        """The model, or the first of several."""
        return Model(self._inner.model, self._portal, self._accelerator)

    @property
    def models(self) -> tuple[Model, ...]:
        """The models, which are closed with the pipeline."""
        return tuple(Model(model, self._portal, self._accelerator) for model in self._inner.models)

    @property
    def result(self) -> Result | None:
        """The latest run's result, without its outputs: the backend, the verdict, the times."""
        return self._inner.result

    def stream(self, *inputs: Any, **parameters: Any) -> Iterator[Any]:
        """Return what ``AsyncPipeline.stream`` returns."""
        return self._pieces(self._inner.stream(*inputs, **parameters))

    def close(self) -> None:
        """Release the models, and end the browser where ``webinfer.pipeline`` started it."""
        try:
            self._portal.call(self._inner.close())
        finally:
            if self.on_close is not None:
                self.on_close()

    def _pieces(self, pieces: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(pieces)

        async def end() -> None:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

        try:
            while True:
                try:
                    piece = self._portal.call(following())
                except StopAsyncIteration:
                    return
                yield piece
        finally:  # also when the caller stops early, so that the model stops generating
            self._portal.call(end())
