"""The tuner, with contestants that are made up here: failures, cancellation and what is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from webinfer.core.errors import AccuracyError, LoadFailed, TuningFailed
from webinfer.tuning.candidate import Candidate
from webinfer.tuning.tuner import Subject, Tuner, TuningProgress

SUBJECT = Subject(model="f" * 64, name="tiny", machine="m1")
FAST, MIDDLE, SLOW = (
    Candidate(browser="embedded", backend=backend, precision="fp32") for backend in ("webgpu", "webnn", "wasm")
)
COSTS = {FAST: 0.001, MIDDLE: 0.002, SLOW: 0.004}


class Stage:
    """Opens contestants, and knows which ones are open.

    Args:
        faults: What a candidate raises or waits for, when it opens (``open``) or takes its third turn (``turn``).
    """

    def __init__(self, faults: dict[Candidate, tuple[str, BaseException | float]] | None = None) -> None:
        self.faults = faults or {}
        self.open: set[Candidate] = set()
        self.opened: list[Candidate] = []
        self.turning = asyncio.Event()

    async def __call__(self, candidate: Candidate) -> Player:
        await self.act(candidate, "open")
        self.open.add(candidate)
        self.opened.append(candidate)
        return Player(self, candidate)

    async def act(self, candidate: Candidate, moment: str) -> None:
        when, fault = self.faults.get(candidate, ("", 0.0))
        if when == moment and isinstance(fault, BaseException):
            raise fault
        if when == moment and isinstance(fault, float):
            await asyncio.sleep(fault)


class Player:
    version = "153.0"

    def __init__(self, stage: Stage, candidate: Candidate) -> None:
        self.stage, self.candidate = stage, candidate
        self.turns = 0

    async def turn(self) -> float:
        self.turns += 1
        self.stage.turning.set()
        await asyncio.sleep(0.001)
        if self.turns == 3:
            await self.stage.act(self.candidate, "turn")
        return COSTS[self.candidate]

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.stage.open.remove(self.candidate)


async def test_fastest_wins_and_everybody_is_closed() -> None:
    stage = Stage()
    tuning = await Tuner(stage).run(SUBJECT, [SLOW, MIDDLE, FAST], 5)
    assert (tuning.winner, tuning.runner_up, tuning.seconds) == (FAST, MIDDLE, 0.001)
    assert tuning.gain is not None
    assert tuning.gain.estimate == pytest.approx(2)
    assert (tuning.model, tuning.name, tuning.machine, tuning.version) == ("f" * 64, "tiny", "m1", "153.0")
    assert tuning.versions == {"embedded": "153.0"}
    assert not any(each.failed for each in tuning.standings)
    assert 0 < tuning.cost < 5
    assert tuning.at.endswith("+00:00")
    assert [each.candidate for each in tuning.standings] == [FAST, MIDDLE, SLOW]
    assert not any(standing.failed for standing in tuning.standings)
    assert tuning.versions == {"embedded": "153.0"}
    assert not stage.open


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (("open", LoadFailed("no such kernel")), "no such kernel"),
        (("turn", AccuracyError("y is off by 0.3")), "y is off by 0.3"),
        (("open", 60.0), "it was not ready within"),
    ],
)
async def test_candidate_that_fails_is_out_and_costs_nobody_else(
    fault: tuple[str, BaseException | float], reason: str
) -> None:
    stage = Stage({FAST: fault})
    tuning = await Tuner(stage).run(SUBJECT, [FAST, MIDDLE, SLOW], 2)
    assert (tuning.winner, tuning.runner_up) == (MIDDLE, SLOW)
    standing = next(each for each in tuning.standings if each.candidate == FAST)
    assert [each.candidate for each in tuning.standings if each.failed] == [FAST]
    assert standing.reason is not None
    assert standing.reason.startswith(reason)
    assert standing.failed
    assert not stage.open


async def test_candidate_that_hangs_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webinfer.tuning.tuner._SHORTEST", 0.1)
    stage = Stage({FAST: ("turn", 60.0)})
    tuning = await asyncio.wait_for(Tuner(stage).run(SUBJECT, [FAST, MIDDLE], 5), 10)
    assert tuning.winner == MIDDLE
    assert "a turn took more than" in str(tuning.standings[-1].reason)
    assert not stage.open


async def test_excluded_candidates_are_named_with_their_reasons() -> None:
    tuning = await Tuner(Stage()).run(SUBJECT, [MIDDLE, SLOW], 5, excluded={FAST: "there is no adapter"})
    assert (tuning.standings[-1].candidate, tuning.standings[-1].reason) == (FAST, "there is no adapter")
    assert tuning.standings[-1].rounds == 0


async def test_nobody_measured_is_an_error_that_says_why() -> None:
    stage = Stage({SLOW: ("open", LoadFailed("it is broken."))})
    with pytest.raises(
        TuningFailed, match=r"wasm in embedded, fp32: it is broken; webgpu .*: no adapter\. Allow other"
    ):
        await Tuner(stage).run(SUBJECT, [SLOW], 5, excluded={FAST: "no adapter"})


@pytest.mark.parametrize("wait", ["open", "turn"])
async def test_cancellation_leaves_nothing_open(wait: str) -> None:
    stage = Stage({MIDDLE: (wait, 60.0)})
    running = asyncio.create_task(Tuner(stage).run(SUBJECT, [SLOW, MIDDLE, FAST], 300))
    await asyncio.sleep(0.1)
    assert stage.open
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not stage.open


async def test_losers_are_closed_while_the_others_go_on() -> None:
    stage = Stage()
    seen: list[tuple[int, int]] = []

    def tell(progress: TuningProgress) -> None:
        seen.append((progress.left, len(stage.open)))

    await Tuner(stage, tell).run(SUBJECT, [SLOW, MIDDLE, FAST], 5)
    assert (3, 3) in seen
    assert (2, 2) in seen


async def test_progress_tells_the_budget_and_the_leader() -> None:
    steps: list[TuningProgress] = []
    keep: Callable[[TuningProgress], None] = steps.append
    await Tuner(Stage(), keep).run(SUBJECT, [SLOW, FAST], 5)
    assert steps[0].text == "open wasm in embedded, fp32"
    assert all((step.budget, step.total) == (5, 2) for step in steps)
    assert steps[-1].leader == FAST
    assert [step.seconds for step in steps] == sorted(step.seconds for step in steps)
