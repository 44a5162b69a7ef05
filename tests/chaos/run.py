"""Drives requests while faults strike, and judges every single one.

A run is cut into rounds, one for each fault. In a round a share of the requests is on its way, 16 callers at a time;
the fault strikes after as many of them as the seed says. The round ends when all have ended and when each model
answered once more. So faults hit a busy accelerator, and one fault's repair is not taken for another's.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.chaos import debugger
from tests.chaos.faults import GPU_DEADLINE, HARMLESS, Fault, bound, faults_for
from tests.chaos.target import HEARTBEAT, Target
from tests.chaos.workload import Subject, make_bulk, make_endless, make_glutton
from webinfer import AsyncAccelerator
from webinfer.core.errors import WebinferError
from webinfer.inference.model import AsyncModel

CALLERS = 16
REPAIRED = 150.0  # seconds in which all must be well again once a fault was noticed: a browser may have to be started
BOUND = 120.0  # seconds in which every request must have ended, one way or the other
DEADLINE = 90.0  # seconds that a request is allowed


@dataclass
class Strike:
    """One fault and what came of it.

    Attributes:
        did: What it did, or ``""`` where it found nothing to harm.
        noticed: Seconds from the strike until the pool told of it; ``None`` where it told of nothing.
        seconds: From the strike until all was well again.
        ended: Lanes that ended meanwhile.
        recovered: Whether it struck, and each model answered once more when all requests had ended.
    """

    engine: str
    name: str
    did: str
    noticed: float | None
    seconds: float
    ended: int
    recovered: bool

    @property
    def harmed(self) -> bool:
        """Whether it did the harm that it is meant to do."""
        return self.ended > 0 or self.name in HARMLESS

    @property
    def in_time(self) -> bool:
        """Whether it was noticed and repaired within its bounds; what does no harm need not be noticed."""
        unnoticed = self.noticed is None and self.name in HARMLESS
        in_time = unnoticed or (self.noticed is not None and self.noticed <= bound(self.name))
        return in_time and self.seconds <= REPAIRED + bound(self.name)


@dataclass
class Tally:
    """How the requests ended.

    Attributes:
        lost: Ended neither in a result nor in a typed error within the bound.
        twice: Results that the pool announced beyond those that callers got.
        wrong: Results that differ from native onnxruntime's.
        slowest: Seconds that the slowest took.
        complaints: What else was not as it must be.
    """

    asked: int = 0
    right: int = 0
    wrong: int = 0
    lost: int = 0
    twice: int = 0
    slowest: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    strikes: list[Strike] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take in another tally."""
        for name in ("asked", "right", "wrong", "lost", "twice"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest = max(self.slowest, other.slowest)
        self.errors += other.errors
        self.retries += other.retries
        self.strikes += other.strikes
        self.complaints += other.complaints


class Attack:
    """One accelerator, its share of the requests, and its share of the faults."""

    def __init__(
        self, target: Target, models: Sequence[tuple[Subject, AsyncModel]], random: np.random.Generator
    ) -> None:
        self.target = target
        self.tally = Tally()
        self._models = models
        self._random = random

    async def run(self, requests: int, faults: Sequence[Fault]) -> Tally:
        """Drive the requests, a round for each fault."""
        shares = [len(share) for share in np.array_split(np.arange(requests), max(1, len(faults)))]
        for share, fault in zip(shares, faults, strict=True):
            await self._round(share, fault)
        await asyncio.sleep(0.1)  # the last results are announced after they are given
        self.tally.twice = max(0, self.target.answered - self.tally.right - self.tally.wrong)
        self.tally.retries = self.target.retries
        return self.tally

    async def _round(self, share: int, fault: Fault) -> None:
        moment = int(self._random.integers(1, max(2, share)))
        left = iter(range(share))
        due = asyncio.Event()

        async def call() -> None:
            for number in left:
                if number == moment:
                    due.set()
                await self._ask(int(self._random.integers(len(self._models))))
            due.set()

        callers = [asyncio.create_task(call()) for _ in range(CALLERS)]
        await due.wait()
        began, before = time.monotonic(), self.target.events["LaneEnded"]
        did, struck = await self._strike(fault)
        await asyncio.gather(*callers)
        answers = [await self._ask(number) for number in range(len(self._models))]
        seconds, ended = time.monotonic() - began, self.target.events["LaneEnded"] - before
        recovered = bool(did) and all(answers)
        noticed = self.target.notices[0] - struck if self.target.notices else None
        self.tally.strikes.append(Strike(self.target.engine, fault.__name__, did, noticed, seconds, ended, recovered))

    async def _strike(self, fault: Fault) -> tuple[str, float]:
        """Have a fault strike; returns what it did, and when it began to."""
        for _ in range(50):
            struck = time.monotonic()
            self.target.notices.clear()
            try:
                if did := await fault(self.target):
                    return did, struck
            except Exception as error:
                self.tally.complaints.append(f"{self.target.engine}: {fault.__name__}: {error!r}")
                return "failed", struck
            await asyncio.sleep(0.2)  # nothing there to be harmed: the browser is just coming up
        return "", struck

    async def _ask(self, number: int) -> bool:
        """Send one request and judge how it ended."""
        subject, model = self._models[number]
        x = subject.draw(self._random)
        self.tally.asked += 1
        began = time.monotonic()
        try:
            limit = GPU_DEADLINE if model.backend == "webgpu" else DEADLINE
            result = await asyncio.wait_for(model.run({"x": x}, timeout=limit), BOUND)
        except WebinferError as error:
            self.tally.errors[error.code] += 1
            return False
        except Exception as error:
            self.tally.lost += 1
            self.tally.complaints.append(f"{self.target.engine}: {subject.name} ended in {error!r}")
            return False
        finally:
            self.tally.slowest = max(self.tally.slowest, time.monotonic() - began)
        right = subject.is_right(x, result.outputs["y"])
        self.tally.right += right
        self.tally.wrong += not right
        return right


async def attack(
    browser: str,
    subjects: Sequence[Subject],
    directory: Path,
    *,
    requests: int,
    faults: int,
    seed: int,
    only: str | None = None,
    lanes: int = 2,
    full_disk: Path | None = None,
) -> Tally:
    """Attack one accelerator from its start to its end.

    Args:
        browser: Which to start, as the option ``browser`` has it.
        subjects: The models.
        directory: Where the harmful models may be written.
        requests: How many to send.
        faults: How many to inject. Every kind comes once before one comes again.
        seed: Decides on the faults, their moments and the inputs.
        only: Part of the names of the faults to choose from.
        lanes: Lanes of the browser.
        full_disk: A directory on a disk without room, if there could be one.
    """
    random = np.random.default_rng(seed)
    accelerator = AsyncAccelerator(
        browser=browser,
        browser_args=() if browser == "webkit" else debugger.FLAGS,
        platform="wasm",
        lanes=lanes,
        threads=1,
        heartbeat=HEARTBEAT,
        max_message_mb=50.0,
    )
    try:
        usable = (await accelerator.start()).backends
        models = [(subject, await accelerator.load(subject.path)) for subject in subjects]
        on_gpu = None
        if "webgpu" in usable and browser != "firefox":  # which takes a second for each run in software
            on_gpu = await accelerator.load(subjects[0].path, platform="webgpu")
            models.append((subjects[0], on_gpu))
        target = Target(
            accelerator,
            random,
            endless=await accelerator.load(make_endless(directory)),
            glutton=await accelerator.load(make_glutton(directory)),
            bulk=await accelerator.load(make_bulk(directory)),
            subject=subjects[0],
            on_gpu=on_gpu,
            full_disk=full_disk,
        )
        kinds = [fault for fault in faults_for(target) if only is None or only in fault.__name__]
        return await Attack(target, models, random).run(requests, _deal(kinds, faults, random))
    finally:
        await accelerator.close()


def _deal(kinds: Sequence[Fault], count: int, random: np.random.Generator) -> list[Fault]:
    dealt: list[Fault] = []
    while len(dealt) < count:
        dealt += [kinds[at] for at in random.permutation(len(kinds))]
    return dealt[:count]
