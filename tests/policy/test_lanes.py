"""As few lanes as are as fast as any, as far as that was measured."""

from __future__ import annotations

import pytest

from webinfer.pool.learning.bandit import ENOUGH, MARGIN, MOST, WINDOW, Arm, Record
from webinfer.pool.learning.lane_count import LASTING, LaneBook, LaneTimes, Timed, enough, fold, is_settled

SHA, ARM, OTHER = "a" * 64, Arm("embedded", "wasm"), Arm("embedded", "webnn")
SIZE, VERSION = 7, "153.0"


def measured(seconds: float, runs: int = MOST, spread: float = 1.0, version: str = VERSION) -> Record:
    """Return a record of runs that differ from each other by a factor, up and down in turns."""
    record = Record()
    for number in range(runs):
        record = record.add(seconds * spread ** (1 if number % 2 else -1), version)
    return record


def book(most: int = 4, **stretches: float) -> LaneBook:
    """Return a book with as many stretches as settle everything: of ``one`` lane, of ``two`` …"""
    made = LaneBook(most)
    for lanes, name in enumerate(("one", "two", "three"), 1):
        for _ in range(MOST if name in stretches else 0):
            made.add(SHA, ARM, SIZE, lanes, stretches[name], VERSION)
    return made


def lanes_of(made: LaneBook, arm: Arm = ARM) -> int | None:
    count = made.count(SHA, arm)
    return count.lanes if count else None


@pytest.mark.parametrize(
    ("milliseconds", "most", "lanes"),
    [
        ({1: 20, 2: 10, 3: 9.8, 4: 9.9}, 4, 2),
        ({1: 20, 2: 10, 3: 11}, 8, 2),
        ({1: 10, 2: 10.2}, 4, 1),
        ({1: 20, 2: 10}, 4, None),
        ({1: 20, 2: 10}, 2, None),
        ({1: 20, 2: 10, 3: 10}, 2, None),
        ({2: 10}, 4, None),
        ({}, 4, None),
    ],
    ids=[
        "more gain nothing",
        "more are slower",
        "one is enough",
        "more were not measured",
        "all are of use",
        "beyond what is allowed",
        "nothing to compare with",
        "nothing known",
    ],
)
def test_fewest_lanes_that_are_as_fast_as_any(milliseconds: dict[int, float], most: int, lanes: int | None) -> None:
    found = enough({count: measured(each / 1e3) for count, each in milliseconds.items()}, most)
    assert (found.lanes if found else None) == lanes
    assert found is None or found.why.startswith(f"{lanes} of {most} lanes are enough: ")


def test_too_few_measurements_are_none() -> None:
    assert enough({1: measured(0.01), 2: measured(0.01, ENOUGH - 1)}, 4) is None


@pytest.mark.parametrize(
    ("gain", "runs", "spread", "lanes"),
    [
        (1.0, 16, 1.0, 1),
        (1.0, 16, 1.2, None),
        (1.0, 20, 1.02, 1),
        (1.05, 16, 1.0, None),
        (1.05, MOST, 1.2, 1),
        (1.5, MOST, 1.0, None),
        (0.7, 10, 1.2, None),
        (0.7, 28, 1.1, 1),
    ],
    ids=[
        "equal and quiet",
        "equal and noisy",
        "equal, and some noise",
        "a gain that may be worth it",
        "no gain after the most measurements",
        "a gain",
        "a loss that was seen for a moment",
        "a loss",
    ],
)
def test_noise_does_not_decide(gain: float, runs: int, spread: float, lanes: int | None) -> None:
    found = enough({1: measured(0.01, runs, spread), 2: measured(0.01 / gain, runs, spread)}, 4)
    assert (found.lanes if found else None) == lanes


def test_what_was_concluded_stands_until_a_further_lane_is_clearly_faster() -> None:
    standing = enough({1: measured(0.010), 2: measured(0.010)}, 4)
    assert standing is not None
    unclear = {1: measured(0.0112, 12, 1.3), 2: measured(0.010, 12, 1.3)}
    assert enough(unclear, 4) is None
    kept = enough(unclear, 4, standing)
    assert kept is not None
    assert kept.lanes == 1
    assert enough({1: measured(0.0125), 2: measured(0.010)}, 4, standing) is None


def test_lane_waits_until_what_the_present_ones_do_could_be_compared() -> None:
    assert not is_settled(measured(0.01, ENOUGH - 1))
    assert not is_settled(measured(0.01, 12, 1.3))
    assert is_settled(measured(0.01, 16))
    assert is_settled(measured(0.01, MOST, 1.3))
    made = LaneBook(4)
    assert not made.is_settled(SHA, ARM, 1)
    made = book(one=0.02)
    assert made.is_settled(SHA, ARM, 1)
    assert not made.is_settled(SHA, ARM, 2)
    assert not made.is_settled(SHA, OTHER, 1)


def test_further_lane_is_of_use_or_not_as_serving_showed() -> None:
    assert lanes_of(book(one=0.020)) is None
    assert lanes_of(book(one=0.020, two=0.010)) is None
    assert lanes_of(book(one=0.020, two=0.0199)) == 1
    three = book(one=0.020, two=0.010, three=0.011).count(SHA, ARM)
    assert three is not None
    told = "20 ms an item with 1, 10 ms an item with 2, 11 ms an item with 3"
    assert three.why == f"2 of 4 lanes are enough: {told}, measured while serving"
    assert lanes_of(book(one=0.020, two=0.0199), OTHER) is None


def test_long_times_are_told_in_full() -> None:
    found = enough({1: measured(12.3456), 2: measured(12.3456)}, 2)
    assert found is not None
    assert found.why.startswith("1 of 2 lanes are enough: 12,346 ms an item with 1, ")


def test_other_numbers_of_lanes_are_tried_again_after_so_many_stretches() -> None:
    made = book(one=0.020, two=0.020)
    for _ in range(LASTING - 1):
        made.add(SHA, ARM, SIZE, 1, 0.020, VERSION)
    assert lanes_of(made) == 1
    made.add(SHA, ARM, SIZE, 1, 0.020, VERSION)
    assert lanes_of(made) is None


def test_machine_on_which_the_lanes_in_use_become_slower_is_noticed() -> None:
    made = book(one=0.020, two=0.020)
    for _ in range(WINDOW):
        made.add(SHA, ARM, SIZE, 1, 0.020 * MARGIN**2, VERSION)
    assert lanes_of(made) is None


def test_another_version_of_the_browser_is_begun_with_anew() -> None:
    made = book(one=0.020, two=0.020)
    made.add(SHA, ARM, SIZE, 1, 0.020, "153.9")
    assert lanes_of(made) == 1
    made.add(SHA, ARM, SIZE, 1, 0.020, "154.0")
    assert lanes_of(made) is None
    assert not made.is_settled(SHA, ARM, 1)


def test_requests_of_another_size_are_not_compared_and_the_usual_size_counts() -> None:
    made = book(one=0.020)
    for _ in range(MOST - 1):
        made.add(SHA, ARM, SIZE + 3, 2, 0.160, VERSION)
    assert lanes_of(made) is None, "long requests with two lanes say nothing of short ones with one"
    made = book(one=0.020, two=0.020)
    made.add(SHA, ARM, SIZE + 3, 1, 0.160, VERSION)
    assert lanes_of(made) == 1, "one stretch of others changes nothing"
    for _ in range(2 * MOST):
        made.add(SHA, ARM, SIZE + 3, 1, 0.160, VERSION)
    assert lanes_of(made) is None
    assert made.is_settled(SHA, ARM, 1)
    for _ in range(2 * MOST):
        made.add(SHA, ARM, SIZE, 1, 0.020, VERSION)
    assert lanes_of(made) == 1


def test_next_pool_begins_with_what_was_measured_by_the_last_in_the_same_version() -> None:
    times = fold([(1, VERSION, 0.02)] * MOST + [(2, VERSION, 0.02)] * MOST)
    other = fold([(1, VERSION, 0.02)] * 3)
    for version, lanes in (("153.7", 1), ("154.0", None)):
        made = LaneBook(4)
        made.recall(SHA, ARM, {SIZE + 1: other, SIZE: times}, version)
        assert lanes_of(made) == lanes
        assert (SHA, ARM) in made
        assert made.is_settled(SHA, ARM, 2) == (lanes == 1)


def test_what_is_known_by_now_is_not_overwritten_by_what_was_read() -> None:
    made = book(one=0.020, two=0.020)
    made.recall(SHA, ARM, {}, VERSION)
    assert lanes_of(made) == 1


def test_benchmarks_count_where_serving_does_not_tell_and_no_longer_than_stretches_do() -> None:
    benchmarks = LaneTimes({lanes: Timed(measured(0.02, version=""), MOST) for lanes in (1, 2)})
    made = LaneBook(4)
    made.recall(SHA, ARM, {None: benchmarks}, VERSION)
    count = made.count(SHA, ARM)
    assert count is not None
    assert count.why.endswith(", by benchmarks")
    for _ in range(LASTING - 1):
        made.add(SHA, ARM, SIZE, 1, 0.02, VERSION)
    assert lanes_of(made) == 1
    made.add(SHA, ARM, SIZE, 1, 0.02, VERSION)
    assert lanes_of(made) is None
