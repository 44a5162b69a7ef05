"""What all pipelines share: their models, their parameters, and the results of their runs."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Protocol, Self

from webinfer.core.errors import OptionError, PoolClosed, TaskMismatch
from webinfer.core.errors.suggestions import suggestion
from webinfer.core.lifetime.process_bound import AsyncResource
from webinfer.inference.model import AsyncModel, Inputs
from webinfer.inference.result import Result


class LoadModel(Protocol):
    """Loads a model into the accelerator's browser, with the caller's platform and precision."""

    async def __call__(
        self, reference: str | Path, *, part: str | None = None, varying: Collection[str] = ()
    ) -> AsyncModel:
        """Load a model.

        Args:
            reference: As ``AsyncAccelerator.load`` takes it.
            part: As ``AsyncAccelerator.load`` takes it.
            varying: Inputs whose shape changes from run to run. A model with such an input is not loaded on WebNN,
                which would build it again for each shape.

        Returns:
            The loaded model.
        """
        ...


class AsyncPipeline(AsyncResource):
    """A task over one or more models. ``AsyncAccelerator.pipeline`` makes it.

    Each task is a subclass with a ``task`` and an ``_answer``. The keyword parameters of ``_answer`` are the
    pipeline's. A task with several models has its own ``load``. A task that streams has its own ``stream``.

    Args:
        models: The loaded models. They are closed with the pipeline.
        defaults: Default parameters of calls.

    Attributes:
        task: Its name, as in Transformers.
        default: The default model.
        varying: Inputs whose shape changes from run to run; see ``LoadModel``.
        streams: Whether its answers can come piece by piece.
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
        """Answer. The task decides which inputs it takes and what it returns.

        Args:
            inputs: The task's inputs.
            parameters: The task's parameters; they replace the defaults.

        Returns:
            The task's answer.

        Raises:
            OptionError: The task has no such parameter.
            InputError: The task does not take these inputs.
            WebinferError: As ``AsyncModel.run``.
        """
        return await self._answer(*inputs, **self._parameters(parameters))

    @classmethod
    async def load(cls, reference: str | Path, load: LoadModel, **defaults: Any) -> Self:
        """Load the models that the task needs.

        Args:
            reference: The model, as ``AsyncAccelerator.load`` takes it.
            load: Loads one model.
            defaults: Default parameters of calls.

        Returns:
            The pipeline.

        Raises:
            OptionError: The task has no such parameter.
            TaskMismatch: The model cannot do the task.
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
        """Do the task."""
        raise NotImplementedError

    def stream(self, *inputs: Any, **parameters: Any) -> AsyncIterator[Any]:
        """Return the pieces of the answer, as they come.

        Args:
            inputs: The task's inputs.
            parameters: The task's parameters; they replace the defaults.

        Raises:
            OptionError: The task cannot stream, or has no such parameter.
        """
        del inputs, parameters  # for tasks that stream
        raise OptionError(f"{self.task} cannot stream: call the pipeline.", option="stream")

    async def close(self) -> None:
        """Release the models. Later calls raise ``PoolClosed``."""
        self._closed = True
        for model in self.models:
            await model.close()

    @classmethod
    def _check_parameters(cls, parameters: Iterable[str]) -> None:
        """Refuse parameters that the task does not have.

        Raises:
            OptionError: The task has no such parameter.
        """
        known = [
            name
            for name, parameter in inspect.signature(cls._answer).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        ]
        for name in parameters:
            if name not in known:
                hint = suggestion(name, known, f"It has: {', '.join(known) or 'none'}.")
                raise OptionError(f"{cls.task} has no parameter {name!r}. {hint}", option=name, known=known)

    def _check_models(self) -> None:
        """Refuse models that cannot do the task. Subclasses add their checks here."""

    def _parameters(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if self._closed:
            raise PoolClosed(f"The pipeline {self.task} was closed: make a new one.")
        self._check_parameters(parameters)
        return {**self._defaults, **parameters}

    def _output_of_rank(self, rank: int, lack: str) -> str:
        """Return ``logits`` if it has ``rank`` dimensions, else the only output with that rank, else refuse."""
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
        """Return the result of a run, by the first model unless another is named, and note it."""
        result = await (on or self.model).run(inputs, outputs=outputs)
        self.result = replace(result, outputs={})
        return result

    async def _run_batch(
        self, batch: Iterable[Inputs], outputs: Sequence[str] | None = None, *, on: AsyncModel | None = None
    ) -> list[Result]:
        """Return the results of many requests, which run on all lanes, and note the last one."""
        results = await (on or self.model).run_batch(batch, outputs=outputs)
        self.result = replace(results[-1], outputs={})
        return results
