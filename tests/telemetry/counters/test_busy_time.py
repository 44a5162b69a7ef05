"""Time in which anything was under way counts once."""

from __future__ import annotations

from random import Random

import pytest

from webinfer.telemetry.counters.busy_time import BusyTime


def test_busy_time_is_the_union_of_all_spans() -> None:
    random, busy, spans, end = Random(7), BusyTime(), [], 0.0
    for _ in range(2000):
        end += random.expovariate(1.0)
        spans.append((end - random.expovariate(0.7), end))
        busy.add(*spans[-1])
    union, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        union += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    assert 0 < union < end
    assert busy.seconds == pytest.approx(union)


def test_busy_time_takes_no_more_memory_with_every_span() -> None:
    busy = BusyTime()
    for second in range(10_000):
        busy.add(second, second + 0.5)
    assert busy.seconds == pytest.approx(5000.0)
    assert len(busy._starts) == len(busy._ends) < 200
    busy.add(9_000.0, 10_000.0)  # far back, but not beyond what is told apart
    assert busy.seconds == pytest.approx(5000.0 + 0.5 * 64, abs=64)


def test_what_lies_before_the_beginning_is_left_out() -> None:
    busy = BusyTime(since=10.0)
    busy.add(4.0, 11.0)
    busy.add(9.0, 12.0)
    assert busy.seconds == pytest.approx(2.0)
