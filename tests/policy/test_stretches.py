"""Time is taken only while one model keeps every lane busy, from one answer to another."""

from __future__ import annotations

from dataclasses import replace as changed

import pytest

from webinfer.pool.learning.bandit import Arm
from webinfer.pool.learning.throughput import HOLD, LEAST, ROUNDS, SLOW, Stopwatch, Stretch, Work

TWO = Work("a" * 64, Arm("embedded", "wasm"), "153.0", ("b1.1", "b1.2"))
EACH = LEAST / 3.9  # seconds between two answers: four of them make a stretch


def answers(watch: Stopwatch, count: int, start: float, each: float = EACH, elements: int = 32) -> list[Stretch]:
    """Have items answered, four elements each, at even times, after each of which every lane has work."""
    made = []
    for number in range(count):
        now = start + number * each
        if (stretch := watch.answered(elements // 4, elements, now)) is not None:
            made.append(stretch)
        watch.see(watch.work, now)
    return made


def warm(work: Work = TWO) -> Stopwatch:
    """Return a stopwatch whose first stretch is over, at second 0."""
    watch = Stopwatch()
    watch.see(work, -10.0)
    assert not answers(watch, 5, -4 * EACH)
    return watch


def test_stretches_follow_each_other_and_count_every_item_once() -> None:
    made = answers(warm(), 12, EACH)
    assert [(each.work, each.items) for each in made] == [(TWO, 32)] * 3
    assert [each.seconds for each in made] == pytest.approx([4 * EACH] * 3)
    assert [each.each for each in made] == pytest.approx([EACH / 8] * 3)


def test_size_is_that_of_an_item_to_the_nearest_power_of_two() -> None:
    assert {stretch.size for stretch in answers(warm(), 8, EACH)} == {2}
    watch = warm()
    made = [watch.answered(1, elements, EACH * at) for at, elements in enumerate((100, 150, 128, 128), 1)]
    assert [each.size for each in made if each] == [7]


def test_stretch_lasts_long_enough_and_has_every_lane_run_more_than_once() -> None:
    quick = answers(warm(), 100, LEAST / 50, LEAST / 50)
    assert all(LEAST <= each.seconds <= LEAST * 1.1 for each in quick)
    slow = answers(warm(), 9, 5.0, 5.0)
    assert [each.items for each in slow] == [8 * ROUNDS * len(TWO.lanes)] * 2


def test_first_stretch_with_new_lanes_warms_up() -> None:
    watch = Stopwatch()
    watch.see(TWO, 0.0)
    assert len(answers(watch, 13, 0.0)) == 2
    watch.see(TWO._replace(lanes=("b1.1", "b1.3")), 1.0)
    assert len(answers(watch, 13, 1.0)) == 2


@pytest.mark.parametrize("between", [None, TWO._replace(model="b" * 64)], ids=["a lane was idle", "another model"])
def test_what_was_begun_is_left_when_work_changes_and_nothing_is_added_to_it(between: Work | None) -> None:
    watch = warm()
    assert not answers(watch, 3, EACH)
    watch.see(between, 3 * EACH)
    watch.see(TWO, 100.0)
    (made,) = answers(watch, 5, 100.0)
    assert made.items == 32
    assert made.seconds == pytest.approx(4 * EACH)


def test_nothing_is_timed_where_no_single_model_is_at_work() -> None:
    watch = warm()
    watch.see(None, 0.0)
    assert not answers(watch, 50, EACH)


def test_lane_waits_for_stretches_but_not_for_slow_ones_nor_for_ever() -> None:
    watch = warm()
    assert watch.hold(0.0) == SLOW
    assert len(answers(watch, 12, EACH)) == 3
    assert watch.hold(0.0) == pytest.approx(12 * EACH + SLOW)
    assert changed(watch, since=100.0).hold(0.0) == HOLD
