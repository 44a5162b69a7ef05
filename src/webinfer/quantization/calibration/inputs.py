"""Inputs to learn from and to measure losses with: the caller's own, or made-up ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webinfer.accuracy.samples import SampleMaker
from webinfer.core.tensors import prepare
from webinfer.models.files.package import ModelPackage
from webinfer.quantization.weights.rounding import Array

Inputs = dict[str, Array]


@dataclass(frozen=True, slots=True)
class CalibrationInputs:
    """Inputs of a model.

    Attributes:
        calibrating: Those that methods learn from.
        held_out: Those that losses are measured with.
        kind: What they are, in words.
    """

    calibrating: list[Inputs]
    held_out: list[Inputs]
    kind: str

    @classmethod
    def of(cls, package: ModelPackage, count: int, given: list[Mapping[str, Any]] | None = None) -> CalibrationInputs:
        """Take the caller's inputs, or make some.

        Texts where the model has a tokenizer, pictures and sounds that are computed where it has what prepares them,
        else random numbers of each input's dtype.

        Args:
            package: The model.
            count: How many to learn from; half as many are held out.
            given: Inputs of the caller's own, in place of these; the last third is held out.

        Returns:
            The inputs, and how they were made.

        Raises:
            InputError: The caller's inputs do not fit, or the model wants something that cannot be made up.
        """
        if given:
            own = [prepare(package.signature, inputs) for inputs in given]
            held = max(1, len(own) // 3)
            return cls(own[:-held] or own, own[-held:], "inputs that were given")
        maker = SampleMaker(package, "calibration")
        samples = [maker.make(seed=seed) for seed in range(count + max(2, count // 2))]
        return cls(samples[:count], samples[count:], maker.kind)
