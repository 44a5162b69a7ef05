"""How far one set of outputs is from another: a browser's from the native ones, or one precision's from another's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import OptionError

Arrays = Mapping[str, NDArray[Any]]

TOP = 5
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
    """

    cosine: float
    error: float
    top: float = 0.9
    equal: float = 0.999


LIMITS: Mapping[str, Limits] = {
    "fp32": Limits(cosine=0.9999, error=2e-3),  # another order of summing: 1e-6 to 1e-4 over a deep graph
    "fp16": Limits(cosine=0.999, error=3e-2, top=0.8),  # 11 bits, and sums in them on some backends
    "": Limits(cosine=0.99, error=0.15, top=0.6),  # whole numbers in between: rounding flips at other places
}
"""Limits by precision; the empty name stands for all that are quantized. The reference runs the same weights, so what
quantizing itself loses does not count here."""


def limits_for(precision: str, overrides: Mapping[str, Mapping[str, float]] | None = None) -> Limits:
    """Return the limits of a precision.

    Args:
        precision: Its name, ``fp16``.
        overrides: Fields of ``Limits`` that differ, by precision; ``*`` holds for all of them.

    Raises:
        OptionError: A field is unknown.
    """
    values = asdict(LIMITS.get(precision, LIMITS[""]))
    for name in ("*", precision):
        for field, value in ((overrides or {}).get(name) or {}).items():
            if field not in values:
                names = ", ".join(each.name for each in fields(Limits))
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
        strange: Values that are NaN or infinite and should not be, or the other way round.
        top: Share of the highest classes that are the same, where the output is scores.
        equal: Share of equal values, for whole numbers.
    """

    output: str
    cosine: float | None = None
    largest: float = 0.0
    error: float = 0.0
    strange: int = 0
    top: float | None = None
    equal: float | None = None

    def beyond(self, limits: Limits) -> str | None:
        """Say which limit it is beyond, or ``None``."""
        if self.strange:
            return f"{self.output} holds {self.strange} values that are NaN or infinite and should not be, or should"
        if self.cosine is not None and not self.cosine >= limits.cosine:
            return f"{self.output} has a cosine of {self.cosine:.4f}, under {limits.cosine:g}"
        if self.cosine is not None and not self.error <= limits.error:
            return f"{self.output} is off by {self.error:.2g} of its largest value, over {limits.error:g}"
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


def compare(made: Arrays, right: Arrays) -> list[Deviation]:
    """Compare outputs, by name.

    Args:
        made: What was computed. An output that is missing, or of another shape, counts as wrong in every value.
        right: What is right.
    """
    return [_deviation(name, made.get(name), array) for name, array in right.items()]


def worst(deviations: list[list[Deviation]]) -> list[Deviation]:
    """Return for each output the worst of several comparisons, measure by measure."""
    by_output: dict[str, list[Deviation]] = {}
    for each in (one for several in deviations for one in several):
        by_output.setdefault(each.output, []).append(each)
    return [_worst(several) for several in by_output.values()]


def _worst(several: list[Deviation]) -> Deviation:
    def least(name: str) -> float | None:
        known = [value for each in several if (value := getattr(each, name)) is not None]
        return min(known) if known else None

    return Deviation(
        output=several[0].output,
        cosine=least("cosine"),
        largest=max(each.largest for each in several),
        error=max(each.error for each in several),
        strange=max(each.strange for each in several),
        top=least("top"),
        equal=least("equal"),
    )


def _deviation(name: str, made: NDArray[Any] | None, right: NDArray[Any]) -> Deviation:
    if made is None or made.shape != right.shape:
        return Deviation(output=name, strange=max(1, right.size))
    if right.dtype.kind != "f":
        same = float(np.mean(made == right)) if right.size else 1.0
        return Deviation(output=name, equal=same)
    a, b = made.astype(np.float64), right.astype(np.float64)
    usual, odd = np.isfinite(b), ~np.isfinite(b) & ~np.isfinite(a)
    # Infinities must be the same ones; any NaN is as good as another.
    strange = int(np.sum(usual != np.isfinite(a)) + np.sum(odd & (a != b) & ~(np.isnan(a) & np.isnan(b))))
    both = usual & np.isfinite(a)
    a_both, b_both = np.where(both, a, 0.0), np.where(both, b, 0.0)
    difference = np.abs(a_both - b_both)
    far, most = float(difference.max(initial=0.0)), float(np.abs(b[usual]).max(initial=0.0))
    return Deviation(
        output=name,
        cosine=_cosine(a_both, b_both),
        largest=far,
        error=far / most if most else far,
        strange=strange,
        top=_top(a, b) if _is_scores(name, right) and not strange else None,
    )


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.vdot(a, b)) / scale if scale else float(not a.any() and not b.any())


def _is_scores(name: str, array: NDArray[Any]) -> bool:
    return array.ndim > 1 and array.shape[-1] >= _CLASSES and any(word in name.lower() for word in _SCORES)


def _top(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    rows, other = (array.reshape(-1, array.shape[-1]) for array in (a, b))
    highest, wanted = (np.argpartition(each, -TOP, axis=-1)[:, -TOP:] for each in (rows, other))
    return float(np.mean([len(set(one) & set(two)) / TOP for one, two in zip(highest, wanted, strict=True)]))
