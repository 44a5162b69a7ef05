"""What was sent to lanes and is not answered yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping

from webinfer.core.errors import LaneLost
from webinfer.core.placement import LaneId
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.requests.batch import Batch
from webinfer.pool.requests.request import Request


class InFlight:
    """The batches on each lane, in order of sending: a lane computes the first, and holds the others.

    A lane that computes cannot be interrupted, only ended. A run that nobody waits for any more
    gets no more time than its caller allowed; then the lane is ended.

    Args:
        fleet: Ends lanes.

    Attributes:
        count: Requests on lanes.
        peak: The most that ever were.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.count = self.peak = 0
        self._fleet = fleet
        self._batches: dict[LaneId, deque[Batch]] = {}
        self._leftovers: dict[LaneId, asyncio.TimerHandle] = {}  # of lanes that compute what nobody waits for

    def __repr__(self) -> str:
        return f"<InFlight { ({str(lane): len(batches) for lane, batches in self._batches.items()}) }>"

    def by_lane(self) -> Mapping[LaneId, list[Request]]:
        """Return the requests on each lane, in order of sending."""
        return {
            lane: [request for batch in batches for request in batch.requests]
            for lane, batches in self._batches.items()
        }

    def add(self, batch: Batch) -> None:
        """Note what is sent.

        Args:
            batch: The batch.
        """
        self.count += len(batch)
        self.peak = max(self.peak, self.count)
        batches = self._batches.get(batch.lane.id)
        if batches is None:
            batches = self._batches[batch.lane.id] = deque()
        batches.append(batch)

    def remove(self, batch: Batch) -> None:
        """Note what was answered, or lost with its lane.

        Args:
            batch: The batch.
        """
        self.count -= len(batch)
        lane = batch.lane.id
        batches = self._batches[lane]
        batches.remove(batch)  # one of the few that a lane may hold
        # A lane answers in order, so the timer was for this batch. What it computes next has a time of its own.
        if self._leftovers and (timer := self._leftovers.pop(lane, None)):
            timer.cancel()
        if batches:
            self.watch(lane)
        else:
            del self._batches[lane]

    def computed(self, lane: LaneId) -> Batch:
        """Return what a lane computes.

        Args:
            lane: The lane.
        """
        return self._batches[lane][0]

    def watch(self, lane: LaneId) -> None:
        """Limit what a lane computes to its caller's timeout, once nobody waits for it any more.

        Args:
            lane: The lane.
        """
        first = self._batches[lane][0] if lane in self._batches else None
        if first and lane not in self._leftovers and not first.is_wanted() and first.timeout is not None:
            loop = asyncio.get_running_loop()
            self._leftovers[lane] = loop.call_later(first.timeout, self._end_leftover, first, first.timeout)

    def stop(self, batch: Batch, why: str) -> None:
        """End a run that takes too long.

        Args:
            batch: The batch.
            why: Why, as a part of a sentence.
        """
        lane = batch.lane
        if not lane.lost.done():
            self._fleet.stop_run(lane, batch.key.backend, LaneLost(f"Lane {lane.id} was ended: {why}."))

    def close(self) -> None:
        """Watch nothing any more."""
        for timer in self._leftovers.values():
            timer.cancel()

    def _end_leftover(self, batch: Batch, timeout: float) -> None:
        del self._leftovers[batch.lane.id]
        self.stop(batch, f"a run that nobody waited for took over {timeout:g} s")
