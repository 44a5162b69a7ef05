"""How long a run may take: the standard time, scaled by the model's family and by the size of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from webinfer.core.errors import OptionError
from webinfer.core.errors.suggestions import suggestion
from webinfer.pool.plan.preferences import GROUPS, PREFERENCES

LARGE_BYTES = 1_000_000
"""Inputs of more bytes are large. One item of the usual models stays below: an image of 3 x 224 x 224 float32 has
602,112 bytes, thirty seconds of Whisper's features (80 x 3000 float32) have 960,000. What is above is a batch, or an
input of a size that its model is rarely given, and takes its multiple of the time."""

LARGE_FACTOR = 2.0
"""Factor for large inputs where size detection is on and no factor is given: at least twice an image's bytes take
at least about twice its time on the wire, and in models whose cost is linear in their input."""

FAMILIES = (*PREFERENCES, *GROUPS)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """What a run's time limit is made of.

    Attributes:
        standard: Seconds for a run, or ``None`` for no limit.
        families: Factors by family, or by the name of a group of families; a family's own goes first.
        large: Factor for inputs of over ``LARGE_BYTES``.
    """

    standard: float | None
    families: Mapping[str, float] = field(default_factory=dict)
    large: float = 1.0


def run_timeout(timeouts: Timeouts, family: str, nbytes: int) -> float | None:
    """Return the seconds that a run may take.

    Args:
        timeouts: The standard time and its factors.
        family: The model's family.
        nbytes: Size of the inputs, in bytes.
    """
    if timeouts.standard is None:
        return None
    factor = timeouts.large if nbytes > LARGE_BYTES else 1.0
    return timeouts.standard * factor * _family_factor(timeouts.families, family)


def check_factors(factors: Mapping[str, float]) -> None:
    """Check factors by family.

    Args:
        factors: Factors by family, or by the name of a group of families.

    Raises:
        OptionError: A family is unknown, or a factor is not above 0.
    """
    for family, factor in factors.items():
        if family not in FAMILIES:
            hint = suggestion(family, FAMILIES, f"Known: {', '.join(FAMILIES)}.")
            raise OptionError(f"timeout_factors names no family with {family!r}. {hint}", option="timeout_factors")
        if not factor > 0:
            raise OptionError(
                f"The timeout factor of {family} must be above 0, not {factor}.", option="timeout_factors"
            )


def _family_factor(factors: Mapping[str, float], family: str) -> float:
    if not factors or family in factors:  # without any, as nearly always, at no cost
        return factors.get(family, 1.0)
    return next((factors[group] for group, members in GROUPS.items() if family in members and group in factors), 1.0)
