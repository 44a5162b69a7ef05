"""Runs whose state stays in the browser: outputs of one step that are inputs of the next."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from webinfer.browsers.recipe import Residents
from webinfer.core.errors import BackendUnavailable, UnknownOutput
from webinfer.core.placement import LaneId
from webinfer.core.tensors import Signature, prepare
from webinfer.inference.loaded_model import LoadedModel
from webinfer.inference.result import Result
from webinfer.models.files.package import ModelPackage

CACHE = "past_key_values"
_numbers = itertools.count(1)  # handles are unique among all that this process ever made


class Recurrence:
    """The steps of one sequence. Its state lies on the lane that ran the first step, and never crosses the wire.

    Args:
        model: The model, on a backend that takes every shape as it comes.
        state: For each input that holds the state, the output that becomes it.
        fixed: For each input that is the same in every step, what holds it after the first step: the name of one of
            that step's outputs, or the input's own name.

    Attributes:
        lane: The lane that holds the state, once there is one.

    Raises:
        UnknownOutput: The model has no such output.
        BackendUnavailable: The model runs on WebNN, which takes fixed shapes.
    """

    def __init__(self, model: LoadedModel, state: Mapping[str, str], fixed: Mapping[str, str] | None = None) -> None:
        self.lane: LaneId | None = None
        self._model = model
        self._state = dict(state)
        self._fixed = dict(fixed or {})
        self._feeds: dict[str, str] = {}  # handles by input, of the state
        self._fixed_feeds: dict[str, str] = {}
        signature = model.package.signature
        if not model.sessions.whole:
            raise BackendUnavailable(
                f"{model.name} runs in stages, and what a step keeps lies on one lane: raise lane_capacity_mb, or "
                "switch shard_models off.",
                backend=model.backend,
            )
        known = [spec.name for spec in signature.outputs]
        constant = {name for name, source in self._fixed.items() if name == source}
        for name in (*self._state.values(), *self._fixed.values()):
            if name not in known and name not in constant:
                raise UnknownOutput(f"{model.name} has no output {name!r} to keep.", output=name, known=known)
        if model.backend == "webnn":
            raise BackendUnavailable(
                f"WebNN takes fixed shapes, and the state of {model.name} grows: choose wasm or webgpu.",
                backend="webnn",
            )
        rest = tuple(spec for spec in signature.inputs if spec.name not in {**self._state, **self._fixed})
        self._signature = Signature(rest, signature.outputs)

    def __repr__(self) -> str:
        return f"<Recurrence {self._model.name} {f'on {self.lane}' if self.lane else 'new'}>"

    async def step(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> Result:
        """Run one step: the first with the state and what is fixed among its inputs, the others without.

        Args:
            inputs: Arrays by name.
            outputs: Names of the outputs to send; those that become the state are not among them.

        Returns:
            The outputs and what was observed.

        Raises:
            HandleLost: The lane or its session is gone.
            WebinferError: As ``AsyncModel.run``. Whatever it is, the next step is a first one again.
        """
        first = self.lane is None
        tensors = prepare(self._model.package.signature if first else self._signature, inputs)
        state, fixed = make_handles(self._state), make_handles(self._fixed) if first else self._fixed_feeds
        keep = {self._state[name]: handle for name, handle in state.items()}
        keep |= {self._fixed[name]: handle for name, handle in fixed.items()} if first else {}
        # The state of the step before is freed with this message: this step reads it for the last time.
        residents = Residents({**self._feeds, **self._fixed_feeds}, keep, tuple(self._feeds.values()))
        try:
            result, lane = await self._run(tensors, outputs, residents)
        except BaseException:  # also where it is given up: the step runs to its end there, and is cleaned up behind it
            self.close()
            raise
        self.lane, self._feeds, self._fixed_feeds = lane, state, fixed
        return result

    def close(self) -> None:
        """Release the state. The next step is a first one again."""
        if self.lane is not None:
            self._model.requests.free(self.lane, [*self._feeds.values(), *self._fixed_feeds.values()])
        self.lane, self._feeds, self._fixed_feeds = None, {}, {}

    async def _run(
        self, tensors: Mapping[str, NDArray[Any]], outputs: Sequence[str], residents: Residents
    ) -> tuple[Result, LaneId]:
        """Return the result of a step, and the lane that holds its state."""
        model = self._model
        request, bucket = model.requests.build_resident(tensors, outputs, residents, self.lane)
        try:
            result = await model.observer.take(model, request, model.results.complete(request, bucket))
            assert request.lane is not None
            return result, request.lane.id
        except BaseException:
            if request.lane is not None:
                model.requests.free(request.lane.id, [*residents.keep.values()])
            raise


def make_handles(names: Iterable[str]) -> dict[str, str]:
    """Return a new handle for each of some tensors, by their names.

    Args:
        names: The names.
    """
    return {name: f"h{next(_numbers)}" for name in names}


def cache_of(package: ModelPackage) -> dict[str, str]:
    """Return a decoder's cache, as Optimum names it: the inputs that hold it, and the outputs that become them.

    Args:
        package: The decoder.
    """
    outputs = {spec.name for spec in package.signature.outputs}
    cache = {}
    for spec in package.signature.inputs:
        output = spec.name.replace(CACHE, "present", 1)
        if spec.name.startswith(f"{CACHE}.") and output in outputs:
            cache[spec.name] = output
    return cache
