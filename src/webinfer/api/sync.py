"""The synchronous face: the same names and signatures, usable from any thread.

The asynchronous accelerator lives on an event loop in a thread of its own; every call crosses over to it. So
calls work from many threads at once, from inside a notebook's running loop, and from ``asyncio.to_thread``.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from webinfer.api.accelerator import AsyncAccelerator
from webinfer.api.docstrings import mirroring
from webinfer.api.portal import Portal
from webinfer.core.capabilities import Capabilities
from webinfer.core.options import Backend, Options, Platform, Requirement, describe
from webinfer.core.profile import Profile
from webinfer.core.progress import ProgressCallback
from webinfer.inference.model import AsyncModel, Inputs
from webinfer.inference.process_bound import ProcessBound
from webinfer.inference.result import Result
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.pipelines import AsyncPipeline
from webinfer.pool.events import SessionLoaded
from webinfer.telemetry.snapshot import Snapshot

if TYPE_CHECKING:
    from webinfer.models.preprocessing.image_processor import ImageProcessor

T = TypeVar("T")


def _forget(portal: Portal, accelerator: AsyncAccelerator) -> None:
    """End what nobody closed.

    The garbage collector calls this in whatever thread it happens to run, in the middle of anything, perhaps with a
    lock in hand that closing needs, perhaps in the portal's own thread: nothing here may wait.
    """
    portal.abandon(accelerator.close())


@mirroring(AsyncAccelerator)
class Accelerator(ProcessBound):
    """Run ONNX models in a real browser.

    ::

        with Accelerator(browser="firefox") as accelerator:
            model = accelerator.load("wheel:all-MiniLM-L6-v2")
            vectors = model.embed(["A browser ran this."])

    The browser starts with the first ``load`` or ``start``. Every method may be called from any thread.

    Args:
        options: Options as one object.
        keywords: Options by name, in place of ``options``; docs/options.md lists them.

    Raises:
        OptionError: An option is unknown, or its value cannot be.
    """

    def __init__(self, options: Options | None = None, **keywords: Any) -> None:
        self._inner = AsyncAccelerator(options, **keywords)
        self._portal = Portal()
        self._forget = weakref.finalize(self, _forget, self._portal, self._inner)  # also when the interpreter exits

    def __repr__(self) -> str:
        return repr(self._inner).replace("AsyncAccelerator", "Accelerator")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def options(self) -> Options:
        """The options in force."""
        return self._inner.options

    def start(self) -> Capabilities:
        """As ``AsyncAccelerator.start``."""
        return self._portal.call(self._inner.start())

    def load(
        self,
        reference: str | Path,
        *,
        platform: Platform | None = None,
        precision: str | Sequence[str] | None = None,
        part: str | None = None,
        fallback: bool = False,
        require: Requirement | None = None,
        progress: ProgressCallback | None = None,
    ) -> Model:
        """As ``AsyncAccelerator.load``; ``progress`` is called on other threads."""
        work = self._inner.load(
            reference,
            platform=platform,
            precision=precision,
            part=part,
            fallback=fallback,
            require=require,
            progress=progress,
        )
        return Model(self._portal.call(work), self._portal, self)

    def pipeline(
        self,
        task: str,
        model: str | Path | None = None,
        *,
        platform: Platform | None = None,
        precision: str | Sequence[str] | None = None,
        fallback: bool = False,
        progress: ProgressCallback | None = None,
        **parameters: Any,
    ) -> Pipeline:
        """As ``AsyncAccelerator.pipeline``; ``progress`` is called on other threads."""
        how: dict[str, Any] = {"platform": platform, "precision": precision, "fallback": fallback, "progress": progress}
        return Pipeline(self._portal.call(self._inner.pipeline(task, model, **how, **parameters)), self._portal, self)

    def run(self, reference: str | Path, inputs: Inputs, *, platform: Platform | None = None) -> Result:
        """As ``AsyncAccelerator.run``."""
        return self._portal.call(self._inner.run(reference, inputs, platform=platform))

    def run_parallel(self, requests: Sequence[tuple[Model, Inputs]]) -> list[Result]:
        """As ``AsyncAccelerator.run_parallel``."""
        return self._portal.call(self._inner.run_parallel([(model.inner, inputs) for model, inputs in requests]))

    def metrics(self) -> dict[str, Any]:
        """As ``AsyncAccelerator.metrics``."""
        return self._portal.call(self._inner.metrics())

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """As ``AsyncAccelerator.query``."""
        return self._portal.call(self._inner.query(sql, parameters))

    def report(self, format: str = "markdown") -> str:
        """As ``AsyncAccelerator.report``."""
        return self._portal.call(self._inner.report(format))

    def snapshot(self) -> Snapshot:
        """As ``AsyncAccelerator.snapshot``."""
        return self._portal.call(self._inner.snapshot())

    def limit_memory(self, limits: Mapping[str, float]) -> None:
        """As ``AsyncAccelerator.limit_memory``."""
        self._portal.call(self._inner.limit_memory(limits))

    def scale_timeouts(self, factors: Mapping[str, float]) -> None:
        """As ``AsyncAccelerator.scale_timeouts``."""
        self._portal.call(self._inner.scale_timeouts(factors))

    def close(self) -> None:
        """As ``AsyncAccelerator.close``."""
        if self._forget.detach() is not None:
            try:
                self._portal.call(self._inner.close())
            finally:
                self._portal.close()


@mirroring(AsyncModel)
class Model(ProcessBound):
    """A model in a browser. Made by ``Accelerator.load``; every method may be called from any thread."""

    def __init__(self, inner: AsyncModel, portal: Portal, accelerator: Accelerator) -> None:
        self._inner = inner
        self._portal = portal
        self._accelerator = accelerator  # which ends when nobody holds it any more

    def __repr__(self) -> str:
        return repr(self._inner).replace("AsyncModel", "Model")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def inner(self) -> AsyncModel:
        """The asynchronous model, which lives on the accelerator's own loop."""
        return self._inner

    @property
    def name(self) -> str:
        """The model's name."""
        return self._inner.name

    @property
    def package(self) -> ModelPackage:
        """Its files, signature, family and tokenizer."""
        return self._inner.package

    @property
    def backend(self) -> Backend:
        """Backend that runs it."""
        return self._inner.backend

    @property
    def precision(self) -> str:
        """Precision of its weights."""
        return self._inner.precision

    @property
    def loaded(self) -> SessionLoaded | None:
        """Times and size of its first loading."""
        return self._inner.loaded

    @property
    def tokenizer(self) -> Tokenizer:
        """As ``AsyncModel.tokenizer``."""
        return self._inner.tokenizer

    @property
    def image_processor(self) -> ImageProcessor:
        """As ``AsyncModel.image_processor``."""
        return self._inner.image_processor

    def load(self, progress: ProgressCallback | None = None) -> SessionLoaded:
        """As ``AsyncModel.load``."""
        return self._portal.call(self._inner.load(progress))

    def run(
        self,
        inputs: Inputs,
        *,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        priority: int = 0,
    ) -> Result:
        """As ``AsyncModel.run``."""
        return self._portal.call(self._inner.run(inputs, outputs=outputs, timeout=timeout, priority=priority))

    def submit(
        self,
        inputs: Inputs,
        *,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        priority: int = 0,
    ) -> Future[Result]:
        """As ``AsyncModel.submit``; the future is a ``concurrent.futures.Future``."""
        work = self._inner.run(inputs, outputs=outputs, timeout=timeout, priority=priority)
        future = self._portal.start(work)
        future.add_done_callback(lambda _, kept=self._accelerator: None)  # type: ignore[misc]  # open until then
        return future

    def run_batch(
        self,
        batch: Iterable[Inputs],
        *,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        priority: int = 0,
    ) -> list[Result]:
        """As ``AsyncModel.run_batch``."""
        return self._portal.call(self._inner.run_batch(batch, outputs=outputs, timeout=timeout, priority=priority))

    @property
    def max_batch_size(self) -> int:
        """As ``AsyncModel.max_batch_size``."""
        return self._inner.max_batch_size

    def warm_up(self, lengths: Sequence[int] | None = None) -> int:
        """As ``AsyncModel.warm_up``."""
        return self._portal.call(self._inner.warm_up(lengths))

    def profile(self, inputs: Inputs, *, runs: int = 3) -> Profile:
        """As ``AsyncModel.profile``."""
        return self._portal.call(self._inner.profile(inputs, runs=runs))

    def set_max_batch_size(self, size: int) -> str | None:
        """As ``AsyncModel.set_max_batch_size``."""
        return self._portal.call(self._inner.set_max_batch_size(size))

    def embed(
        self, texts: str | Sequence[str], *, normalized: bool = True, batch_size: int = 32
    ) -> NDArray[np.float32]:
        """As ``AsyncModel.embed``."""
        return self._portal.call(self._inner.embed(texts, normalized=normalized, batch_size=batch_size))

    def close(self) -> None:
        """As ``AsyncModel.close``."""
        self._portal.call(self._inner.close())


@mirroring(AsyncPipeline)
class Pipeline(ProcessBound):
    """A task over a model in a browser. Made by ``Accelerator.pipeline`` and ``pipeline``; any thread may call it."""

    def __init__(self, inner: AsyncPipeline, portal: Portal, accelerator: Accelerator) -> None:
        self._inner = inner
        self._portal = portal
        self._accelerator = accelerator  # which ends when nobody holds it any more
        self._owner = False  # whether the accelerator is the pipeline's own

    def __repr__(self) -> str:
        return repr(self._inner)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, *inputs: Any, **parameters: Any) -> Any:
        """Answer; what goes in and comes out is the task's own, see docs/tasks.md."""
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
        """As ``AsyncPipeline.stream``."""
        return self._pieces(self._inner.stream(*inputs, **parameters))

    def close(self) -> None:
        """Release the models, and end the browser where ``webinfer.pipeline`` started it."""
        try:
            self._portal.call(self._inner.close())
        finally:
            if self._owner:
                self._accelerator.close()

    def _pieces(self, pieces: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> tuple[Any, ...]:
            return (await anext(pieces),)

        async def end() -> None:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

        try:
            while True:
                try:
                    (piece,) = self._portal.call(following())
                except StopAsyncIteration:
                    return
                yield piece
        finally:
            self._portal.call(end())


def pipeline(
    task: str,
    model: str | Path | None = None,
    *,
    precision: str | Sequence[str] | None = None,
    fallback: bool = False,
    progress: ProgressCallback | None = None,
    **keywords: Any,
) -> Pipeline:
    """Load a model for a task, in a browser of its own.

    ::

        with pipeline("sentence-similarity") as similar:
            similar("A browser ran this.", ["Chrome executed it.", "Fish swim."])

    Args:
        task: Its name, as Transformers calls it; docs/tasks.md lists them.
        model: As ``Accelerator.load`` takes it; ``None`` takes the task's own, where it has one.
        precision: As ``Accelerator.load`` takes it.
        fallback: As ``Accelerator.load`` takes it.
        progress: As ``Accelerator.load`` takes it.
        keywords: Options of the accelerator and parameters of the task, by name.

    Returns:
        The pipeline; closing it ends the browser.

    Raises:
        OptionError: There is no such task, option or parameter, or a model must be named.
        WebinferError: As ``Accelerator.pipeline``.
    """
    names = {option.name for option, _ in describe()}
    options = {name: value for name, value in keywords.items() if name in names}
    parameters = {name: value for name, value in keywords.items() if name not in names}
    accelerator = Accelerator(**options)
    try:
        made = accelerator.pipeline(
            task, model, precision=precision, fallback=fallback, progress=progress, **parameters
        )
    except BaseException:
        accelerator.close()
        raise
    made._owner = True
    return made
