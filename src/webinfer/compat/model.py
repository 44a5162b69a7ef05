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
        model: Ours.
        model_name: As it was asked for.
        max_batch_size: Requests that ``run_batch`` has under way at most; ``None`` leaves it to the pool.
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
            model_name: As it was asked for.
            model_type: Its family; ``None`` takes what its files say.
            asked: Platform that the caller asked for, where another one had to be asked of the accelerator.
            reason: Why that was.
            figures: Returns the figures of the model of a name and hash.
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
        """Its family, which decides on its time limit."""
        return self.model.inner.family

    @model_type.setter
    def model_type(self, name: str) -> None:
        self.model.inner.family = family_of(name)

    def __call__(self, inputs: Inputs) -> Result | list[Result]:
        """Run one request, or each of a list of requests."""
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
        return self._tell(self.model.run(inputs))

    def run_batch(self, batch_inputs: Sequence[Inputs], batch_size: int | None = None) -> list[Result]:
        """Run many requests, and return their results in order.

        They share the longest of their time limits, because they wait for each other.

        Args:
            batch_inputs: The requests.
            batch_size: Requests under way at most; ``None`` takes ``max_batch_size``.

        Raises:
            EmptyBatch: There are none.
            WebinferError: As ``Model.run_batch``.
        """
        batch = list(batch_inputs)
        most = _size(batch_size) or self.max_batch_size or max(1, len(batch))
        waves = [batch[at : at + most] for at in range(0, len(batch), most)] or [batch]
        results = [self.model.run_batch(wave) for wave in waves]
        return [self._tell(result) for wave in results for result in wave]

    def run_concurrent(
        self,
        items: Sequence[Inputs],
        other_models: Sequence[EnhancedWebModel | tuple[EnhancedWebModel, Inputs]] | None = None,
    ) -> list[Result]:
        """Run this model's requests and other models' at once.

        An entry of ``other_models`` is a pair of a model and its inputs, or a model alone, which runs the item at its
        own index: it takes from it the inputs that it declares, and this model takes the others. So one item can
        hold the inputs of two models.

        Args:
            items: This model's requests.
            other_models: Models, or pairs of a model and its inputs.

        Returns:
            The results of the items, in order, then those of the other models, in order.

        Raises:
            MissingInput: A model that came alone finds no item at its index, or not its inputs in it.
            EmptyBatch: There is nothing to run.
            WebinferError: As ``Model.run``; the first one in order, once all have ended.
        """
        own: list[Inputs] = list(items)
        others: list[tuple[EnhancedWebModel, Inputs]] = []
        for index, other in enumerate(other_models or ()):
            if isinstance(other, EnhancedWebModel):
                taken = _share(other, items, index)
                own[index] = _without(own[index], set(taken) - _declared(self))
                others.append((other, taken))
            else:
                others.append(_pair(other))
        if not own and not others:
            return self.run_batch([])
        return run_parallel([*((self, item) for item in own), *others])

    def set_max_batch_size(self, size: int) -> None:
        """Have at most so many requests run together, and ``run_batch`` have at most so many under way.

        They run together only where the model's answers stay the same; see ``Model.set_max_batch_size``.

        Args:
            size: Requests, 1 or more.

        Raises:
            OptionError: It is below 1.
        """
        self.max_batch_size = _size(size)
        self.model.set_max_batch_size(size)

    def get_performance_metrics(self) -> dict[str, Any]:
        """Return the figures of this model alone, another precision of it not among them.

        Times are in seconds, sizes in 10^6 bytes, ``throughput`` in items per second of the time in which a request of
        it was under way; docs/reference/database.md tells what ``memory_usage`` is.
        """
        return {
            "model_name": self.model_name,
            "model_type": self.model_type,
            "platform": self._asked or self.model.backend,
            "backend": self.model.backend,
            "max_batch_size": self.max_batch_size,
            **self._figures(self.model.name, self.model.package.sha256),
        }

    def _tell(self, result: Result) -> Result:
        """Have a result say what the caller asked for."""
        if self._reason is None or self._asked is None:
            return result
        return replace(result, asked=self._asked, reason=self._reason)


def _declared(model: EnhancedWebModel) -> set[str]:
    return {spec.name for spec in model.model.package.signature.inputs}


def _share(model: EnhancedWebModel, items: Sequence[Inputs], index: int) -> Mapping[str, Any]:
    """Return what a model takes from the item at ``index``."""
    remedy = f"pass the pair (model, inputs) for {model.model_name} in other_models"
    if index >= len(items):
        raise MissingInput(f"There is no item {index} for {model.model_name}: {remedy}.", model=model.model_name)
    item = items[index]
    if not isinstance(item, Mapping):
        raise MissingInput(f"Item {index} has no names that {model.model_name} could take its inputs by: {remedy}.")
    taken = {name: value for name, value in item.items() if name in _declared(model)}
    try:
        prepare(model.model.package.signature, taken)
    except InputError as error:
        raise MissingInput(
            f"Item {index} does not fit {model.model_name}, which has the same index among other_models: {error} "
            f"Or {remedy}.",
            model=model.model_name,
        ) from error
    return taken


def run_parallel(requests: Sequence[tuple[EnhancedWebModel, Inputs]], batch_size: int | None = None) -> list[Result]:
    """Run requests of several models at once, and return their results in order.

    Args:
        requests: Models, each with inputs.
        batch_size: Requests under way at most; ``None`` for no limit.

    Raises:
        WebinferError: As ``Model.run_batch``; the first one in the models' order, once all have ended.
    """
    places: dict[EnhancedWebModel, list[int]] = {}
    for place, (model, _) in enumerate(requests):
        places.setdefault(model, []).append(place)
    if not places:
        return []
    with ThreadPoolExecutor(len(places), "webinfer-compat") as threads:  # a thread waits for each model
        batches = [
            threads.submit(copy_context().run, model.run_batch, [requests[place][1] for place in own], batch_size)
            for model, own in places.items()
        ]
    found: dict[int, Result] = {}
    for own, batch in zip(places.values(), batches, strict=True):
        found.update(zip(own, batch.result(), strict=True))
    return [found[place] for place in range(len(requests))]


def _size(size: int | None) -> int | None:
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
