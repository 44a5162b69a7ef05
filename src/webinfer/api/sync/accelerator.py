"""The synchronous face: the same names and signatures, usable from any thread.

The asynchronous accelerator lives on an event loop in a thread of its own. Every call crosses over to it. So calls
work from many threads at once, from inside a notebook's running loop, and from ``asyncio.to_thread``.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from webinfer.api.accelerator import AsyncAccelerator
from webinfer.api.sync.docstrings import mirroring
from webinfer.api.sync.model import Model
from webinfer.api.sync.pipeline import Pipeline
from webinfer.api.sync.portal import Portal
from webinfer.core.capabilities import Capabilities
from webinfer.core.lifetime.process_bound import Resource
from webinfer.core.options import Options, Platform, Requirement, describe
from webinfer.core.progress import ProgressCallback
from webinfer.inference.model import Inputs
from webinfer.inference.result import Result
from webinfer.telemetry.readers.snapshot import Snapshot


def _forget(portal: Portal, accelerator: AsyncAccelerator) -> None:
    """End an accelerator that nobody closed.

    The garbage collector calls this in any thread, at any moment. That thread may hold a lock that closing needs, or
    be the portal's own. So nothing here may wait.
    """
    portal.abandon(accelerator.close())


@mirroring(AsyncAccelerator)
class Accelerator(Resource):
    """Run ONNX models in a real browser.

    ::

        with Accelerator(browser="firefox") as accelerator:
            model = accelerator.load("wheel:all-MiniLM-L6-v2")
            vectors = model.embed(["A browser ran this."])

    The browser starts with the first ``load`` or ``start``. Every method may be called from any thread.

    Args:
        options: Options as one object.
        keywords: Options by name, in place of ``options``; docs/reference/options.md lists them.

    Raises:
        OptionError: An option is unknown, or its value is not valid.
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

    @property
    def options(self) -> Options:
        """The options in force."""
        return self._inner.options

    def start(self) -> Capabilities:
        """Return what ``AsyncAccelerator.start`` returns."""
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
        """Return what ``AsyncAccelerator.load`` returns; ``progress`` is called on other threads."""
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
        """Return what ``AsyncAccelerator.pipeline`` returns; ``progress`` is called on other threads."""
        work = self._inner.pipeline(
            task,
            model,
            platform=platform,
            precision=precision,
            fallback=fallback,
            progress=progress,
            **parameters,
        )
        return Pipeline(self._portal.call(work), self._portal, self)

    def run(self, reference: str | Path, inputs: Inputs, *, platform: Platform | None = None) -> Result:
        """Return what ``AsyncAccelerator.run`` returns."""
        return self._portal.call(self._inner.run(reference, inputs, platform=platform))

    def run_parallel(self, requests: Sequence[tuple[Model, Inputs]]) -> list[Result]:
        """Return what ``AsyncAccelerator.run_parallel`` returns."""
        return self._portal.call(self._inner.run_parallel([(model.inner, inputs) for model, inputs in requests]))

    def metrics(self) -> dict[str, Any]:
        """Return what ``AsyncAccelerator.metrics`` returns."""
        return self._portal.call(self._inner.metrics())

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return what ``AsyncAccelerator.query`` returns."""
        return self._portal.call(self._inner.query(sql, parameters))

    def report(self, format: str = "markdown") -> str:
        """Return what ``AsyncAccelerator.report`` returns."""
        return self._portal.call(self._inner.report(format))

    def snapshot(self) -> Snapshot:
        """Return what ``AsyncAccelerator.snapshot`` returns."""
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
        task: Its name, as Transformers calls it; docs/reference/tasks.md lists them.
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
        loaded = accelerator.pipeline(
            task, model, precision=precision, fallback=fallback, progress=progress, **parameters
        )
    except BaseException:
        accelerator.close()
        raise
    loaded.on_close = accelerator.close
    return loaded
