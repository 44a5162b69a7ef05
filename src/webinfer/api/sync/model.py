"""A loaded model, for any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from webinfer.api.sync.docstrings import mirroring
from webinfer.api.sync.portal import Portal
from webinfer.api.sync.tensor_handle import TensorHandle, unwrap
from webinfer.core.capabilities import Verdict
from webinfer.core.lifetime.process_bound import Resource
from webinfer.core.options import Backend
from webinfer.core.placement import Profile
from webinfer.core.progress import ProgressCallback
from webinfer.inference.model import AsyncModel, Inputs
from webinfer.inference.result import Result
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.pool.events import SessionLoaded
from webinfer.tuning.tuner import TuningProgress
from webinfer.tuning.tuning import Tuning

if TYPE_CHECKING:
    from webinfer.models.preprocessing.image_processor import ImageProcessor


@mirroring(AsyncModel)
class Model(Resource):
    """A model in a browser. Made by ``Accelerator.load``; every method may be called from any thread."""

    def __init__(self, inner: AsyncModel, portal: Portal, accelerator: object) -> None:
        self._inner = inner
        self._portal = portal
        self._accelerator = accelerator  # a reference, because the accelerator ends when it is garbage

    def __repr__(self) -> str:
        return repr(self._inner).replace("AsyncModel", "Model")

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
    def family(self) -> str:
        """As ``AsyncModel.family``."""
        return self._inner.family

    @family.setter
    def family(self, family: str) -> None:
        self._inner.family = family

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
        """Return what ``AsyncModel.load`` returns."""
        return self._portal.call(self._inner.load(progress))

    def run(
        self,
        inputs: Inputs,
        *,
        outputs: Sequence[str] | None = None,
        keep: Sequence[str] = (),
        timeout: float | None = None,
        priority: int = 0,
    ) -> Result:
        """Return what ``AsyncModel.run`` returns."""
        return self._portal.call(self._run(inputs, outputs, keep, timeout, priority))

    def submit(
        self,
        inputs: Inputs,
        *,
        outputs: Sequence[str] | None = None,
        keep: Sequence[str] = (),
        timeout: float | None = None,
        priority: int = 0,
    ) -> Future[Result]:
        """Return what ``AsyncModel.submit`` returns; the future is a ``concurrent.futures.Future``."""
        future = self._portal.start(self._run(inputs, outputs, keep, timeout, priority))
        future.add_done_callback(lambda _, _open=self._accelerator: None)  # type: ignore[misc]  # open until then
        return future

    def run_batch(
        self,
        batch: Iterable[Inputs],
        *,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        priority: int = 0,
    ) -> list[Result]:
        """Return what ``AsyncModel.run_batch`` returns."""
        return self._portal.call(self._inner.run_batch(batch, outputs=outputs, timeout=timeout, priority=priority))

    @property
    def max_batch_size(self) -> int:
        """As ``AsyncModel.max_batch_size``."""
        return self._inner.max_batch_size

    def warm_up(self, lengths: Sequence[int] | None = None) -> int:
        """Return what ``AsyncModel.warm_up`` returns."""
        return self._portal.call(self._inner.warm_up(lengths))

    def profile(self, inputs: Inputs, *, runs: int = 3) -> Profile:
        """Return what ``AsyncModel.profile`` returns."""
        return self._portal.call(self._inner.profile(inputs, runs=runs))

    def prove_hardware(self) -> Verdict:
        """Return what ``AsyncModel.prove_hardware`` returns."""
        return self._portal.call(self._inner.prove_hardware())

    def tune(
        self,
        budget: float = 60.0,
        *,
        browsers: Sequence[str] | None = None,
        platforms: Sequence[Backend] | None = None,
        precisions: Sequence[str] | None = None,
        lanes: Sequence[int] | None = None,
        threads: Sequence[int | None] | None = None,
        batch_sizes: Sequence[int] | None = None,
        inputs: Inputs | None = None,
        progress: Callable[[TuningProgress], None] | None = None,
    ) -> Tuning:
        """Return what ``AsyncModel.tune`` returns; ``progress`` is called on another thread."""
        work = self._inner.tune(
            budget,
            browsers=browsers,
            platforms=platforms,
            precisions=precisions,
            lanes=lanes,
            threads=threads,
            batch_sizes=batch_sizes,
            inputs=inputs,
            progress=progress,
        )
        return self._portal.call(work)

    def set_max_batch_size(self, size: int) -> str | None:
        """Return what ``AsyncModel.set_max_batch_size`` returns."""
        return self._portal.call(self._inner.set_max_batch_size(size))

    def embed(
        self, texts: str | Sequence[str], *, normalized: bool = True, batch_size: int = 32
    ) -> NDArray[np.float32]:
        """Return what ``AsyncModel.embed`` returns."""
        return self._portal.call(self._inner.embed(texts, normalized=normalized, batch_size=batch_size))

    def close(self) -> None:
        """As ``AsyncModel.close``."""
        self._portal.call(self._inner.close())

    async def _run(
        self,
        inputs: Inputs,
        outputs: Sequence[str] | None,
        keep: Sequence[str],
        timeout: float | None,
        priority: int,
    ) -> Result:
        """Return the result of one request, whose handles are those for any thread."""
        work = self._inner.run(unwrap(inputs), outputs=outputs, keep=keep, timeout=timeout, priority=priority)
        result = await work
        if result.kept:
            result.kept = {name: TensorHandle(handle, self._portal) for name, handle in result.kept.items()}
        return result
