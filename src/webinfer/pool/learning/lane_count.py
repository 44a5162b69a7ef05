"""How many lanes are worth their memory, by what an item took with some and with more: at work, and in benchmarks."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from webinfer.pool.learning.bandit import ENOUGH, MARGIN, MOST, WINDOW, Arm, Record, Z, between, major

LASTING = 1000
"""Stretches after which what was measured with another number of lanes is forgotten, and so tried again: three minutes
of full load and more."""

Measured = Mapping["int | None", "LaneTimes"]
"""What is known of a model on an arm: by the size of its requests, or ``None`` for what benchmarks measured."""


@dataclass(frozen=True, slots=True)
class LaneCount:
    """Lanes beyond which more were found to be of no use.

    Attributes:
        lanes: Their number.
        why: What was measured, in words.
    """

    lanes: int
    why: str


class Timed(NamedTuple):
    """What an item takes with some number of lanes, and at which stretch, by its number, that was measured last."""

    record: Record
    at: int


@dataclass(slots=True)
class LaneTimes:
    """Seconds that an item took, by the number of lanes at work."""

    timed: dict[int, Timed] = field(default_factory=dict)

    @property
    def stretches(self) -> int:
        """Stretches that were measured so far, whatever the number of lanes."""
        return max((each.at for each in self.timed.values()), default=0)

    @property
    def records(self) -> dict[int, Record]:
        """What is known, by the number of lanes."""
        return {lanes: each.record for lanes, each in self.timed.items()}

    def fits(self, version: str) -> bool:
        """Whether it holds for a version of the engine: a browser of another version is another browser."""
        return all(major(each.record.version) in ("", major(version)) for each in self.timed.values())

    def add(self, lanes: int, seconds: float, version: str) -> None:
        """Take in a stretch. What another version was measured with is forgotten, and so is what is too old."""
        if not self.fits(version):
            self.timed.clear()
        at = self.stretches + 1
        known = self.timed.get(lanes, Timed(Record(), at))
        self.timed[lanes] = Timed(known.record.add(seconds, version), at)
        for old in [lanes for lanes, each in self.timed.items() if at - each.at >= LASTING]:
            del self.timed[old]


def fold(stretches: Iterable[tuple[int, str, float]]) -> LaneTimes:
    """Sum up stretches, the oldest first, each as its lanes, the engine's version and the seconds that an item took."""
    times = LaneTimes()
    for lanes, version, seconds in stretches:
        times.add(lanes, seconds, version)
    return times


def enough(
    times: Mapping[int, Record], most: int, standing: LaneCount | None = None, source: str = "by benchmarks"
) -> LaneCount | None:
    """Find the fewest lanes that none of the higher numbers measured is faster than, by more than ``MARGIN``.

    A number that was not measured may be better, so where the fastest is the highest measured, and more are allowed,
    nothing is concluded: pressure then decides, lane by lane, as it does where nothing is known. Nor does noise: a
    further lane is of no use where both numbers are settled and even the most that is believable of its gain is not
    worth it, or where ``MOST`` measurements of both have not shown any. What was concluded stands until the further
    lane is clearly faster.

    Args:
        times: Seconds that an item took, by the number of lanes at work.
        most: Lanes that a browser may have.
        standing: What was concluded before.
        source: Where the times come from, in words.

    Returns:
        Their number; ``None`` where that is not known, or no fewer than are allowed.
    """
    known = {lanes: times[lanes] for lanes in sorted(times) if lanes <= most and times[lanes].runs >= ENOUGH}
    for fewest, record in known.items():
        more = [known[lanes] for lanes in known if lanes > fewest]
        stands = standing is not None and standing.lanes == fewest
        if more and all(_is_useless(each, record, stands) for each in more):
            told = ", ".join(f"{_milliseconds(known[lanes])} an item with {lanes}" for lanes in known)
            return LaneCount(fewest, f"{fewest} of {most} lanes are enough: {told}, {source}")
    return None


def _is_useless(more: Record, fewer: Record, stands: bool) -> bool:
    """Whether further lanes are not faster than fewer, by more than chance and ``MARGIN`` explain."""
    seen = between(more, fewer)
    if stands:
        return seen.mean <= math.log(MARGIN) or seen.least <= 0
    if min(more.runs, fewer.runs) >= MOST:
        return seen.mean <= math.log(MARGIN)
    return is_settled(more) and is_settled(fewer) and seen.most <= math.log(MARGIN)


def _milliseconds(record: Record) -> str:
    value = record.seconds * 1e3
    return f"{value:.3g} ms" if value < 999.5 else f"{value:,.0f} ms"


def is_settled(record: Record) -> bool:
    """Whether what an item takes is known well enough to be compared, so that a further lane need not wait for it."""
    return record.runs >= MOST or (record.runs >= ENOUGH and 2 * Z * record.error(record) <= math.log(MARGIN))


@dataclass(slots=True)
class _Known:
    """What is known of a model on an arm.

    Attributes:
        times: By the size of its requests; ``None`` for benchmarks.
        sizes: Sizes of the newest stretches: the most frequent is at work.
        count: What follows.
        size: The size that this holds for.
    """

    times: dict[int | None, LaneTimes] = field(default_factory=dict)
    sizes: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))
    count: LaneCount | None = None
    size: int | None = None


class LaneBook:
    """What is known of the lanes that models can use, and what follows from it.

    Requests of other sizes take other times, so they are kept apart: what counts is the size at work. Figures of
    benchmarks hold where no stretches tell otherwise, for as long as a stretch is remembered.

    Args:
        most: Lanes that a browser may have.

    Attributes:
        counts: How many lanes are enough, where that is known.
    """

    def __init__(self, most: int) -> None:
        self.counts: dict[tuple[str, Arm], LaneCount] = {}
        self._most = most
        self._known: dict[tuple[str, Arm], _Known] = {}

    def __repr__(self) -> str:
        return f"<LaneBook of {len(self._known)}>"

    def __contains__(self, place: tuple[str, Arm]) -> bool:
        return place in self._known

    def recall(self, model: str, arm: Arm, measured: Measured, version: str) -> None:
        """Take in what an earlier process measured with the same version of the engine; nothing if some is known."""
        if (model, arm) in self._known:
            return
        fitting = {size: times for size, times in measured.items() if times.fits(version)}
        known = self._known[model, arm] = _Known(fitting)
        usual = [size for size in fitting if size is not None]
        if usual:
            known.sizes.append(max(usual, key=lambda size: fitting[size].stretches))
        self._conclude(model, arm, known)

    def add(self, model: str, arm: Arm, size: int, lanes: int, seconds: float, version: str) -> LaneTimes:
        """Take in a stretch; returns what is known of requests of that size by now."""
        known = self._known.setdefault((model, arm), _Known())
        times = known.times.setdefault(size, LaneTimes())
        times.add(lanes, seconds, version)
        known.sizes.append(size)
        self._conclude(model, arm, known)
        return times

    def count(self, model: str, arm: Arm) -> LaneCount | None:
        """Return how many lanes are enough; ``None`` where that is not known, or no fewer than are allowed."""
        return self.counts.get((model, arm))

    def is_settled(self, model: str, arm: Arm, lanes: int) -> bool:
        """Whether it is known what items of the size at work take with so many lanes."""
        known = self._known.get((model, arm))
        if known is None:
            return False
        times = known.times.get(known.size, LaneTimes())
        return is_settled(times.records.get(lanes, Record())) or known.count is not None

    def _conclude(self, model: str, arm: Arm, known: _Known) -> None:
        size = _usual(known.sizes)
        standing = known.count if size == known.size else None
        known.size, known.count = size, None
        if size is not None:
            known.count = enough(known.times[size].records, self._most, standing, "measured while serving")
        benchmarks = known.times.get(None)
        told = sum(times.stretches for size, times in known.times.items() if size is not None)
        if known.count is None and benchmarks is not None and told < LASTING:
            known.count = enough(benchmarks.records, self._most, standing)
        if known.count is None:
            self.counts.pop((model, arm), None)
        else:
            self.counts[model, arm] = known.count


def _usual(sizes: Iterable[int]) -> int | None:
    """Return the most frequent size; of equally frequent ones, the newest."""
    counted: Counter[int] = Counter()
    found = None
    for size in sizes:
        counted[size] += 1
        if found is None or counted[size] >= counted[found]:
            found = size
    return found
