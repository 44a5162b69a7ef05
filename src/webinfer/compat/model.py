"""The guide's wrapper of a loaded model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import Any

from webinfer.api.sync.model import Model
from webinfer.compat.keywords import family_of
from webinfer.core.errors import InputError, MissingInput, OptionError
from webinfer.core.options import Platform
from webinfer.core.tensors import prepare
from webinfer.inference.model import Inputs
from webinfer.inference.result import Result

Figures = Callable[[str, str], Mapping[str, Any]]


class EnhancedWebModel:
    """A loaded model, with the guide's names.

    Attributes:
        model: The loaded model.
        model_name: Name that the caller gave.
        max_batch_size: Most requests that ``run_batch`` runs at the same time; ``None`` leaves it to the pool.
    """

    def __init__(
        self,
        model: Model,
        model_name: str,
        *,
        model_type: str | None = None,
        asked: Platform | None = None,
        reason: str | None = None,
        figures: Figures,
    ) -> None:
        """Wrap ``model``.

        Args:
            model: The loaded model.
            model_name: Name that the caller gave.
            model_type: Its family; ``None`` takes what its files say.
            asked: Platform that the caller asked for, if the accelerator was given another one.
            reason: Why the accelerator was given another one.
            figures: Returns a model's figures by its name and hash.
        """
        self.model = model
        self.model_name = model_name
        if model_type:
            self.model_type = model_type
        self.max_batch_size: int | None = None
        self._asked = asked
        self._reason = reason
        self._figures = figures

    def __repr__(self) -> str:
        return f"<EnhancedWebModel {self.model!r}>"

    @property
    def model_type(self) -> str:
        """Its family, which decides its time limit."""
        return self.model.inner.family

    @model_type.setter
    def model_type(self, name: str) -> None:
        self.model.inner.family = family_of(name)

    def __call__(self, inputs: Inputs) -> Result | list[Result]:
        """Return the result of one request, or the results of a list of requests."""
        if isinstance(inputs, list) and inputs and all(isinstance(item, Mapping) for item in inputs):
            return self.run_batch(inputs)
        return self.run(inputs)

    def run(self, inputs: Inputs) -> Result:
        """Run one request; see ``Model.run``.

        Args:
            inputs: As ``Model.run`` takes them.

        Returns:
            The outputs and what was observed.

        Raises:
            WebinferError: As ``Model.run``.
        """
        return self._with_reason(self.model.run(inputs))

    def run_batch(self, batch_inputs: Sequence[Inputs], batch_size: int | None = None) -> list[Result]:
        """Run many requests, and return their results in order.

        They share the longest of their time limits, because they wait for each other.

        Args:
            batch_inputs: The requests.
            batch_size: Most requests that run at the same time; ``None`` takes ``max_batch_size``.

        Returns:
            A result for each request, in order.

        Raises:
            EmptyBatch: There are none.
            WebinferError: As ``Model.run_batch``.
        """
        batch = list(batch_inputs)
        most = _checked_size(batch_size) or self.max_batch_size or max(1, len(batch))
        waves = [batch[at : at + most] for at in range(0, len(batch), most)] or [batch]
        results = [self.model.run_batch(wave) for wave in waves]
        return [self._with_reason(result) for wave in results for result in wave]

    def run_concurrent(
        self,
        items: Sequence[Inputs],
        other_models: Sequence[EnhancedWebModel | tuple[EnhancedWebModel, Inputs]] | None = None,
    ) -> list[Result]:
        """Run requests of this model and of other models at once.

        An entry of ``other_models`` is a pair of a model and its inputs, or a model alone. A model alone runs the item
        at its own index. It takes the inputs that it declares, and this model takes the others. So one item can hold
        the inputs of two models.

        Args:
            items: This model's requests.
            other_models: Models, or pairs of a model and its inputs.

        Returns:
            The results of the items, in order, then those of the other models, in order.

        Raises:
            MissingInput: A model alone has no item at its index, or the item lacks its inputs.
            EmptyBatch: There is nothing to run.
            WebinferError: As ``Model.run``. The first error in order is raised, after all requests have ended.
        """
        own: list[Inputs] = list(items)
        others: list[tuple[EnhancedWebModel, Inputs]] = []
        for index, other in enumerate(other_models or ()):
            if isinstance(other, EnhancedWebModel):
                taken = _inputs_of(other, items, index)
                # An input that both models declare goes to both.
                own[index] = _without(own[index], set(taken) - _declared(self))
                others.append((other, taken))
            else:
                others.append(_pair(other))
        if not own and not others:
            return self.run_batch([])
        return run_parallel([*((self, item) for item in own), *others])

    def set_max_batch_size(self, size: int) -> None:
        """Limit the requests that run in one batch, and those that ``run_batch`` runs at the same time.

        Requests share a batch only if the model's answers stay the same; see ``Model.set_max_batch_size``.

        Args:
            size: Requests, 1 or more.

        Raises:
            OptionError: It is below 1.
        """
        self.max_batch_size = _checked_size(size)
        self.model.set_max_batch_size(size)

    def get_performance_metrics(self) -> dict[str, Any]:
        """Return the figures of this model in its own precision.

        Times are in seconds, sizes in 10^6 bytes. ``throughput`` is in items per second of the time in which a request
        of this model was in progress. docs/reference/database.md explains ``memory_usage``.
        """
        return {
            "model_name": self.model_name,
            "model_type": self.model_type,
            "platform": self._asked or self.model.backend,
            "backend": self.model.backend,
            "max_batch_size": self.max_batch_size,
            **self._figures(self.model.name, self.model.package.sha256),
        }

    def _with_reason(self, result: Result) -> Result:
        """Return a result with the platform that the caller asked for, and why another one ran."""
        if self._reason is None or self._asked is None:
            return result
        return replace(result, asked=self._asked, reason=self._reason)


def _declared(model: EnhancedWebModel) -> set[str]:
    return {spec.name for spec in model.model.package.signature.inputs}


def _inputs_of(model: EnhancedWebModel, items: Sequence[Inputs], index: int) -> Mapping[str, Any]:
    """Return what a model takes from the item at ``index``.

    Raises:
        MissingInput: There is no such item, or it lacks an input of the model.
    """
    remedy = f"pass the pair (model, inputs) for {model.model_name} in other_models"
    if index >= len(items):
        raise MissingInput(f"There is no item {index} for {model.model_name}: {remedy}.", model=model.model_name)
    item = items[index]
    if not isinstance(item, Mapping):
        raise MissingInput(f"Item {index} has no input names, which {model.model_name} needs: {remedy}.")
    taken = {name: value for name, value in item.items() if name in _declared(model)}
    try:
        prepare(model.model.package.signature, taken)
    except InputError as error:
        raise MissingInput(
            f"Item {index} does not fit {model.model_name}, which has the same index in other_models: {error} "
            f"Or {remedy}.",
            model=model.model_name,
        ) from error
    return taken


def run_parallel(requests: Sequence[tuple[EnhancedWebModel, Inputs]], batch_size: int | None = None) -> list[Result]:
    """Run requests of several models at once, and return their results in order.

    Args:
        requests: Pairs of a model and its inputs.
        batch_size: Most requests of one model that run at the same time; ``None`` for no limit.

    Returns:
        A result for each pair, in order.

    Raises:
        WebinferError: As ``Model.run_batch``. The first error in the models' order is raised, after all have ended.
    """
    places: dict[EnhancedWebModel, list[int]] = {}
    for place, (model, _) in enumerate(requests):
        places.setdefault(model, []).append(place)
    if not places:
        return []
    with ThreadPoolExecutor(len(places), "webinfer-compat") as threads:  # one thread waits for each model
        batches = [
            threads.submit(copy_context().run, model.run_batch, [requests[place][1] for place in own], batch_size)
            for model, own in places.items()
        ]
    results: dict[int, Result] = {}
    for own, batch in zip(places.values(), batches, strict=True):
        results.update(zip(own, batch.result(), strict=True))
    return [results[place] for place in range(len(requests))]


def _checked_size(size: int | None) -> int | None:
    if size is not None and size < 1:
        raise OptionError(f"The batch size must be 1 or more, not {size}.", option="batch_size")
    return size


def _without(item: Inputs, names: set[str]) -> Inputs:
    assert isinstance(item, Mapping)
    return {name: value for name, value in item.items() if name not in names}


def _pair(entry: Any) -> tuple[EnhancedWebModel, Inputs]:
    match entry:
        case (EnhancedWebModel() as model, inputs):
            return model, inputs
    raise OptionError(
        f"other_models holds models, or pairs of a model and its inputs, not {type(entry).__name__}.",
        option="other_models",
    )
