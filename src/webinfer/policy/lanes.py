"""How many lanes are worth their memory, by what was measured with some and with more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from webinfer.policy.learning import ENOUGH, MARGIN, Record


@dataclass(frozen=True, slots=True)
class LaneCount:
    """Lanes beyond which more were found to be of no use.

    Attributes:
        lanes: Their number.
        why: What was measured, in words.
    """

    lanes: int
    why: str


def enough(times: Mapping[int, Record], most: int) -> LaneCount | None:
    """Find the fewest lanes that are as fast as any number that was measured, but for ``MARGIN``.

    A number that was not measured may be better, so where the fastest is the highest measured, and more are allowed,
    nothing is concluded: pressure then decides, lane by lane, as it does where nothing is known.

    Args:
        times: Seconds that an item took, by the number of lanes at work.
        most: Lanes that a browser may have.

    Returns:
        Their number; ``None`` where that is not known, or no fewer than are allowed.
    """
    known = {lanes: record for lanes, record in times.items() if lanes <= most and record.runs >= ENOUGH}
    if len(known) < 2:
        return None
    best = min(known, key=lambda lanes: known[lanes].mean)
    fewest = min(lanes for lanes in known if known[lanes].mean - known[best].mean <= math.log(MARGIN))
    if fewest >= most or fewest == max(known):
        return None
    told = ", ".join(f"{known[lanes].seconds * 1e3:.3g} ms an item with {lanes}" for lanes in sorted(known))
    return LaneCount(fewest, f"{fewest} of {most} lanes are enough: {told}")
