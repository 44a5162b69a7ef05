"""How far one set of outputs is from another, and how far it may be: the only comparator of this package."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from webinfer.accuracy import measures
from webinfer.core.errors import OptionError

Arrays = Mapping[str, NDArray[Any]]

TOP = 5
_BASE = 0.1  # part of the largest value that a value counts as at least, beside itself
_ROUNDINGS = 4  # of an output, by its dtype
_CLASSES = 16  # values in the last dimension from which ranks mean something
_SCORES = ("logits", "scores", "probabilities", "probs")  # outputs whose ranks are what callers use


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an output may differ by.

    Attributes:
        cosine: Least cosine similarity of the flattened output.
        error: Largest difference of a value, as a part of the output's largest value.
        top: Least share of the 5 highest classes that must be the same, for outputs that are scores.
        equal: Least share of equal values, for outputs of whole numbers.
        element: Largest difference of a value, as a part of itself and a tenth of the output's largest value. What
            rounding to the output's dtype makes is always allowed.
    """

    cosine: float
    error: float
    top: float = 0.9
    equal: float = 0.999
    element: float = math.inf


Use = Literal["native", "batch", "rewrite"]
"""What is compared: a browser with native onnxruntime, rows of a batch with the same requests run alone, or a rewritten
graph with the original in the same runtime."""


def _within(error: float, equal: float = 0.999) -> Limits:
    """Return limits for the same computation in the same runtime, where values decide and ranks say nothing more."""
    return Limits(cosine=1 - error, error=error, top=0.0, equal=equal)


LIMITS: Mapping[Use, Mapping[str, Limits]] = {
    "native": {
        "fp32": Limits(
            cosine=0.9999, error=1e-3, equal=1.0
        ),  # another order of summing: 1e-6 to 1e-4 over a deep graph
        "fp16": Limits(cosine=0.999, error=2e-2, top=0.8, equal=1.0),  # 11 bits, and sums in them on some backends
        "": Limits(
            cosine=0.99, error=0.15, top=0.6
        ),  # a whole number that rounds the other way: 0.053 in MiniLM at int8
    },
    # Another order of summing makes 1e-6 to 1e-5 in float32. Another scale of 8 bits makes 4e-3 or more: a fault.
    "batch": {"fp16": _within(1e-2, 1.0), "q4f16": _within(1e-2, 1.0), "": _within(1e-3, 1.0)},
    "rewrite": {
        "fp16": _within(5e-3),  # another rounding makes 4e-4 to 8e-4 where activations are float16
        "q4f16": _within(5e-3),
        "rounded": _within(2e-2),  # an activation of 8 bits between two steps may take the other one, 4e-3 away
        "": _within(1e-5),  # another rounding of Gelu makes 2e-6 over twelve layers; a wrong third digit makes 1e-3
    },
}
"""Limits by use and by precision of the weights; the empty name stands for all other precisions. The reference always
runs the same weights, so what quantizing itself loses does not count here. ``rounded`` is no precision: it stands for
graphs that round activations to 8 bits."""


def limits_for(
    precision: str, overrides: Mapping[str, Mapping[str, float]] | None = None, use: Use = "native"
) -> Limits:
    """Return the limits of a precision.

    Args:
        precision: Its name, such as ``fp16``.
        overrides: Fields of ``Limits`` that differ, by precision, as the option ``accuracy_limits`` has them; ``*``
            holds for all precisions.
        use: What is compared.

    Raises:
        OptionError: A field is unknown.
    """
    table = LIMITS[use]
    values = asdict(table.get(precision, table[""]))
    for name in ("*", precision):
        for field, value in ((overrides or {}).get(name) or {}).items():
            if field not in values:
                names = ", ".join(known.name for known in fields(Limits))
                raise OptionError(f"accuracy_limits knows {names}, not {field!r}.", option="accuracy_limits")
            values[field] = float(value)
    return Limits(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How far an output is from what it should be.

    Attributes:
        output: Its name.
        cosine: Cosine similarity; ``None`` for whole numbers.
        largest: Largest difference of a value.
        error: That, as a part of the largest value that the output should have.
        element: Largest difference of a value, as a part of itself and a tenth of the largest value.
        rounding: What rounding to the output's dtype makes of that.
        strange: Values that are NaN or infinite and should not be, or the other way round.
        top: Share of the highest classes that are the same, where the output is scores.
        equal: Share of equal values, for whole numbers.
    """

    output: str
    cosine: float | None = None
    largest: float = 0.0
    error: float = 0.0
    element: float = 0.0
    rounding: float = 0.0
    strange: int = 0
    top: float | None = None
    equal: float | None = None

    def beyond(self, limits: Limits) -> str | None:
        """Return which limit it is beyond, or ``None``."""
        if self.strange:
            return f"{self.output} holds {self.strange} values that are NaN or infinite and should not be, or should"
        # `not <=` rather than `>`: NaN compares false, and must count as beyond the limit.
        if self.cosine is not None and not self.error <= limits.error:
            return f"{self.output} is off by {self.error:.2g} of its largest value, over {limits.error:g}"
        if self.cosine is not None and not self.element <= (most := max(limits.element, self.rounding)):
            return f"{self.output} has a value that is off by {self.element:.2g} of itself, over {most:g}"
        if self.cosine is not None and not self.cosine >= limits.cosine:
            return f"{self.output} has a cosine of {self.cosine:.4f}, under {limits.cosine:g}"
        if self.top is not None and self.top < limits.top:
            return f"{self.output} has {self.top:.0%} of its {TOP} highest classes right, under {limits.top:.0%}"
        if self.equal is not None and self.equal < limits.equal:
            return f"{self.output} has {self.equal:.1%} of its values right, under {limits.equal:.1%}"
        return None

    def measure(self, name: str) -> float | None:
        """Return a measure, or ``None`` where this output has no such or it says nothing."""
        if name == "strange":
            return float(self.strange) if self.strange else None
        value = None if name == "error" and self.cosine is None else getattr(self, name)
        return None if value is None else float(value)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


def compare(outputs: Arrays, right: Arrays, steady: Arrays | None = None) -> list[Deviation]:
    """Compare outputs, by name.

    Args:
        outputs: What was computed. An output that is missing, or of another shape, counts as wrong in every value.
        right: What is right.
        steady: Where values count, by output name; others follow from near ties. Where there is nothing, all do.

    Returns:
        A deviation for each output of ``right``, in its order.
    """
    where = steady or {}
    return [_deviation(name, outputs.get(name), array, where.get(name)) for name, array in right.items()]


def worst(comparisons: Sequence[Sequence[Deviation]]) -> list[Deviation]:
    """Return for each output the worst of several comparisons, measure by measure."""
    by_output: dict[str, list[Deviation]] = {}
    for deviation in (deviation for comparison in comparisons for deviation in comparison):
        by_output.setdefault(deviation.output, []).append(deviation)
    return [_worst(deviations) for deviations in by_output.values()]


def fault(deviations: Iterable[Deviation], limits: Limits) -> str | None:
    """Return what is wrong with outputs: the first that is beyond its limits; ``None`` where none is."""
    return next((excess for deviation in deviations if (excess := deviation.beyond(limits))), None)


def digest(outputs: Arrays) -> str:
    """Return a hash of outputs: SHA-256 of their names, dtypes, shapes and every bit of their values."""
    state = hashlib.sha256()
    for name in sorted(outputs):
        array = np.ascontiguousarray(outputs[name])
        state.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def _worst(deviations: Sequence[Deviation]) -> Deviation:
    def least(name: str) -> float | None:
        known = [value for deviation in deviations if (value := getattr(deviation, name)) is not None]
        return min(known) if known else None

    return Deviation(
        output=deviations[0].output,
        cosine=least("cosine"),
        largest=max(deviation.largest for deviation in deviations),
        error=max(deviation.error for deviation in deviations),
        element=max(deviation.element for deviation in deviations),
        rounding=max(deviation.rounding for deviation in deviations),
        strange=max(deviation.strange for deviation in deviations),
        top=least("top"),
        equal=least("equal"),
    )


def _deviation(
    name: str, output: NDArray[Any] | None, right: NDArray[Any], steady: NDArray[Any] | None = None
) -> Deviation:
    if output is None or output.shape != right.shape:
        return Deviation(output=name, strange=max(1, right.size))
    if steady is not None:
        output = np.where(steady, output, right)
    if right.dtype.kind != "f":
        return Deviation(output=name, equal=measures.equal_share(right, output))
    strange = measures.count_strange(right, output)
    finite = np.isfinite(right) & np.isfinite(output)
    difference, largest = measures.largest_difference(right, output), measures.largest_value(right)
    return Deviation(
        output=name,
        cosine=measures.cosine(np.where(finite, right, 0.0), np.where(finite, output, 0.0)),
        largest=difference,
        error=difference / largest if largest else difference,
        element=measures.element_error(right, output, _BASE * largest),
        rounding=_ROUNDINGS * float(np.finfo(right.dtype).eps),
        strange=strange,
        top=measures.top_share(right, output, TOP) if _is_scores(name, right) and not strange else None,
    )


def _is_scores(name: str, array: NDArray[Any]) -> bool:
    return array.ndim > 1 and array.shape[-1] >= _CLASSES and any(word in name.lower() for word in _SCORES)
