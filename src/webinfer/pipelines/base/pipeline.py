"""What all pipelines share: their models, their parameters, and what was observed of their runs."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Protocol, Self

from webinfer.core.errors import OptionError, PoolClosed, TaskMismatch
from webinfer.core.process_bound import AsyncResource
from webinfer.inference.model import AsyncModel, Inputs
from webinfer.inference.result import Result


class LoadModel(Protocol):
    """Loads a model into the accelerator's browser, with the platform and precision that the caller asked for."""

    async def __call__(
        self, reference: str | Path, *, part: str | None = None, varying: Collection[str] = ()
    ) -> AsyncModel:
        """Load a model.

        Args:
            reference: As ``AsyncAccelerator.load`` takes it.
            part: Likewise.
            varying: Inputs whose shape is another in each run. A model that has one is not loaded on WebNN, which
                would build it anew for each shape.
        """
        ...


class AsyncPipeline(AsyncResource):
    """A task: from what people have to what they want, by way of a model. Made by ``AsyncAccelerator.pipeline``.

    A task is a subclass. It has a ``task`` and an ``_answer``, whose keyword parameters are the pipeline's; where one
    model is not enough, its own ``load``; and where answers come piece by piece, its own ``stream``.

    Args:
        models: The loaded models, which are closed with the pipeline.
        defaults: Parameters of ``_answer`` that hold for calls that do not give them.

    Attributes:
        task: Its name, as Transformers calls it.
        default: Model taken where none is named.
        varying: Inputs that have another shape in each run; see ``LoadModel``.
        streams: Its answers can come piece by piece.
        result: The latest run's result, without its outputs: the backend, the verdict, the times.
    """

    task: ClassVar[str]
    default: ClassVar[str | None] = None
    varying: ClassVar[Collection[str]] = ()
    streams: ClassVar[bool] = False

    def __init__(self, *models: AsyncModel, **defaults: Any) -> None:
        self._check_parameters(defaults)
        self.models = models
        self.result: Result | None = None
        self._defaults = defaults
        self._closed = False
        self._check_models()

    def __repr__(self) -> str:
        names = ", ".join(model.name for model in self.models)
        return f"<{type(self).__name__} {self.task}: {names}{' closed' if self._closed else ''}>"

    async def __call__(self, *inputs: Any, **parameters: Any) -> Any:
        """Answer; what goes in and comes out is the task's own.

        Raises:
            OptionError: The task has no such parameter.
            InputError: The inputs are not what the task takes.
            WebinferError: As ``AsyncModel.run``.
        """
        return await self._answer(*inputs, **self._parameters(parameters))

    @classmethod
    async def load(cls, reference: str | Path, load: LoadModel, **defaults: Any) -> Self:
        """Load what the task needs.

        Args:
            reference: The model, as ``AsyncAccelerator.load`` takes it.
            load: Loads one model.
            defaults: Parameters of calls that do not give them.

        Raises:
            OptionError: The task has no such parameter.
            TaskMismatch: The model is of another kind.
            WebinferError: As ``AsyncAccelerator.load``.
        """
        cls._check_parameters(defaults)  # before anything is fetched
        model = await load(reference, varying=cls.varying)
        try:
            return cls(model, **defaults)
        except BaseException:
            await model.close()
            raise

    @property
    def model(self) -> AsyncModel:
        """The model, or the first of several."""
        return self.models[0]

    async def _answer(self, *inputs: Any, **parameters: Any) -> Any:
        """Answer with every parameter as given: the task itself."""
        raise NotImplementedError

    def stream(self, *inputs: Any, **parameters: Any) -> AsyncIterator[Any]:
        """Answer piece by piece, where the task can.

        Raises:
            OptionError: It cannot, or has no such parameter.
        """
        raise OptionError(f"{self.task} has one answer, which comes whole: call the pipeline.", option="stream")

    async def close(self) -> None:
        """Release the models. Later calls raise ``PoolClosed``."""
        self._closed = True
        for model in self.models:
            await model.close()

    @classmethod
    def _check_parameters(cls, given: Iterable[str]) -> None:
        """Refuse parameters that the task does not have."""
        known = [
            name
            for name, parameter in inspect.signature(cls._answer).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        ]
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(known) or 'none'}."
                raise OptionError(f"{cls.task} has no parameter {name!r}. {hint}", option=name, known=known)

    def _check_models(self) -> None:
        """Refuse models that cannot do the task; the place for a subclass's own checks."""

    def _parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        if self._closed:
            raise PoolClosed(f"The pipeline {self.task} was closed: make a new one.")
        self._check_parameters(given)
        return {**self._defaults, **given}

    def _output_of_rank(self, rank: int, lack: str) -> str:
        """Return ``logits`` where it has this many dimensions, else the only output that has; or refuse the model."""
        fitting = [spec.name for spec in self.model.package.signature.outputs if len(spec.shape) == rank]
        if "logits" in fitting:
            return "logits"
        if len(fitting) != 1:
            self._refuse(self.model, lack)
        return fitting[0]

    def _refuse(self, model: AsyncModel, why: str) -> NoReturn:
        signature = model.package.signature
        raise TaskMismatch(
            f"{model.name} cannot do {self.task}: {why}.",
            task=self.task,
            model=model.name,
            inputs=[spec.name for spec in signature.inputs],
            outputs=[spec.name for spec in signature.outputs],
        )

    async def _run(
        self, inputs: Inputs, outputs: Sequence[str] | None = None, *, on: AsyncModel | None = None
    ) -> Result:
        """Run a model, the first one where none is named, and note what was observed."""
        result = await (on or self.model).run(inputs, outputs=outputs)
        self.result = replace(result, outputs={})
        return result

    async def _run_batch(
        self, batch: Iterable[Inputs], outputs: Sequence[str] | None = None, *, on: AsyncModel | None = None
    ) -> list[Result]:
        """Run many requests, on as many lanes as there are, and note what was observed of the last."""
        results = await (on or self.model).run_batch(batch, outputs=outputs)
        self.result = replace(results[-1], outputs={})
        return results
