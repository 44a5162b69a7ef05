"""Inputs to learn from and to measure losses with: the caller's own, or made-up ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webinfer.accuracy.native import NativeSession
from webinfer.accuracy.samples.maker import SampleMaker
from webinfer.core.errors import InputError, NotQuantizable, RunFailed
from webinfer.core.tensors import prepare
from webinfer.models.files.package import ModelPackage
from webinfer.quantization.weights.rounding import Array

Inputs = dict[str, Array]

# Sizes of what has no fixed size and no known meaning: the maker's own first, then what networks often want.
_LENGTHS = (None, 16, 32, 64, 128, 224, 256, 512, 576, 640, 1024, 4_096, 16_000)


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
    def of(
        cls, package: ModelPackage, session: NativeSession, count: int, given: list[Mapping[str, Any]] | None = None
    ) -> CalibrationInputs:
        """Take the caller's inputs, or make some.

        These are texts where the model has a tokenizer, and computed pictures and sounds where it has what prepares
        them. Else they are random numbers of each input's dtype. Sizes that a model leaves open may still have to be
        multiples of something, or large enough. So the first sizes are taken that it runs with.

        Args:
            package: The model.
            session: It in native onnxruntime.
            count: How many to learn from; half as many are held out.
            given: Inputs of the caller's own, in place of these; the last third is held out.

        Returns:
            The inputs, and how they were made.

        Raises:
            InputError: The caller's inputs do not fit.
            NotQuantizable: The model runs with none of the inputs that can be made up.
        """
        if given:
            own = [prepare(package.signature, inputs) for inputs in given]
            held = max(1, len(own) // 3)
            return cls(own[:-held] or own, own[-held:], "inputs that were given")
        maker = SampleMaker(package, "calibration")
        length = _runnable_length(package, session, maker)
        samples = [maker.make(length, seed) for seed in range(count + max(2, count // 2))]
        return cls(samples[:count], samples[count:], maker.kind)


def _runnable_length(package: ModelPackage, session: NativeSession, maker: SampleMaker) -> int | None:
    """Return the first length that a model runs with.

    Raises:
        NotQuantizable: It runs with none.
    """
    failure: Exception | None = None
    for length in _LENGTHS:
        try:
            session.run(maker.make(length))
        except (InputError, RunFailed) as error:
            failure = failure or error
        else:
            return length
    reason = " ".join(str(failure).split())
    raise NotQuantizable(
        f"{package.name} runs with none of the inputs that were made up for it, of sizes from 8 to 16,000 where its "
        f"own are open: give some of yours, as webinfer quantize --input NAME=FILE or quantize(inputs=[...]). {reason}",
        reason="inputs",
    ) from failure
