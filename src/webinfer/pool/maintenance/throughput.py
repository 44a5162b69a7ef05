"""Watches what is at work, and learns from it how many lanes a model can use: ``policy.stretches`` carried out."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence

from webinfer.core.options import Backend
from webinfer.pool.events import Listener, StretchMeasured
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.learning.bandit import Arm
from webinfer.pool.learning.lane_count import LaneBook
from webinfer.pool.learning.throughput import Stopwatch, Stretch, Work
from webinfer.pool.plan.assignment import LaneState, State
from webinfer.pool.requests.batch import Batch

log = logging.getLogger("webinfer.stretches")

_Kind = tuple[str, Backend, str]  # model, backend, precision


class Stretches:
    """Times stretches of work.

    What nobody asked for, and what is bound to the lane that keeps its state, is not timed, nor what is at work beside
    it.

    Args:
        fleet: The lanes.
        state: What the scheduler knows.
        most: Lanes that a browser may have.
        announce: Told of every stretch.

    Attributes:
        book: What is known by now.
    """

    def __init__(self, fleet: Fleet, state: State, most: int, announce: Listener) -> None:
        self.book = LaneBook(most)
        self._fleet = fleet
        self._state = state
        self._announce = announce
        self._watch = Stopwatch()
        self._changed = True  # something was answered since the last look: what is sent only adds to what is at work
        self._flying: Counter[_Kind | None] = Counter()  # batches on lanes; None for those that are not to be timed

    def __repr__(self) -> str:
        return f"<Stretches {self.book!r} at work={self._watch.work}>"

    def sent(self, batch: Batch) -> None:
        """Take note of what was sent to a lane."""
        kind = _kind(batch)
        self._flying[kind] += 1
        work = self._watch.work
        if work is not None and kind != (work.model, work.arm.backend, work.arm.precision):
            self._watch.see(None, _now())

    def answered(self, batch: Batch, done: bool) -> None:
        """Take note of what was answered, or failed."""
        kind, now = _kind(batch), _now()
        self._flying[kind] -= 1
        if not self._flying[kind]:
            del self._flying[kind]
        self._changed = True
        if not done:
            self._watch.see(None, now)
        if self._watch.work is None:
            return
        elements = sum(array.size for request in batch.requests for array in request.tensors.values())
        made = self._watch.answered(sum(request.items for request in batch.requests), elements, now)
        if made is not None:
            self._learn(made)

    def look(self, starting: bool) -> None:
        """See what is at work now; called after whatever happens.

        Args:
            starting: Whether a lane is starting.
        """
        if starting or self._changed:
            self._watch.see(None if starting else self._at_work(), _now())
            self._changed = starting

    def hold(self, name: str, lanes: int, pressed_since: float | None) -> float | None:
        """Return until when a browser, by name, gets no further lane so that what it does with so many is measured;
        ``None`` where that is known, or cannot be measured now."""
        work = self._watch.work
        if pressed_since is None or work is None or work.arm.browser != name:
            return None
        return None if self.book.is_settled(work.model, work.arm, lanes) else self._watch.hold(pressed_since)

    def enough(self, name: str, lanes: Sequence[LaneState]) -> int | None:
        """Return how many lanes of a browser are enough for all models that they hold; ``None`` for no limit."""
        if not self.book.counts:
            return None
        held = {(key.model, Arm(name, key.backend, key.precision)) for lane in lanes for key in lane.loaded}
        found = [self.book.count(model, arm) for model, arm in held]
        return max((each.lanes for each in found if each is not None), default=None) if all(found) else None

    def _at_work(self) -> Work | None:
        kind = next(iter(self._flying)) if len(self._flying) == 1 else None
        if kind is None:
            return None
        lanes = self._state.lanes.values()
        busy = [lane for lane in lanes if lane.running]
        names = {lane.browser for lane in busy}
        if len(names) != 1 or sum(lane.running for lane in busy) != self._flying[kind]:
            return None  # several browsers, or a lane that is about to end, which answers what it has
        (name,) = names
        own = [lane.id for lane in lanes if lane.browser == name]
        if len(own) != len(busy) or any(lane.loading for lane in lanes):
            return None
        model, backend, precision = kind
        version = self._fleet.lanes[own[0]].capabilities.engine_version
        return Work(model, Arm(name, backend, precision), version, tuple(own))

    def _learn(self, made: Stretch) -> None:
        model, arm, version, lanes = made.work
        before = self.book.count(model, arm)
        times = self.book.add(model, arm, made.size, len(lanes), made.each, version)
        event = StretchMeasured(model, *arm, version, len(lanes), made.size, made.items, made.seconds, times)
        self._announce(event)
        count = self.book.count(model, arm)
        if (count.lanes if count else None) != (before.lanes if before else None):
            told = count.why if count else "it is to be seen anew how many lanes are enough"
            extra = {"event": "lanes_learned", "browser_name": arm.browser, "lanes": count.lanes if count else None}
            log.info("%s on %s: %s", model[:12], arm, told, extra=extra)


def _kind(batch: Batch) -> _Kind | None:
    for request in batch.requests:
        if request.nobodys or request.residents:
            return None
    key = batch.key
    return key.model, key.backend, key.precision


def _now() -> float:
    return asyncio.get_running_loop().time()
