"""What keeps a fleet fit while it works: lanes added and ended by need, worn and overgrown ones replaced."""

from __future__ import annotations

from webinfer.core.options import Options
from webinfer.pool.events import Listener
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.maintenance.autoscaler import Scaler
from webinfer.pool.maintenance.recycler import Recycler
from webinfer.pool.maintenance.throughput import Stretches
from webinfer.pool.plan.assignment import State
from webinfer.pool.requests.batch import Batch
from webinfer.pool.requests.queue import Queues


class Upkeep:
    """The scaler and the recycler of a fleet, as far as the options ask for them.

    Args:
        fleet: The browsers and lanes.
        state: What the scheduler knows.
        queues: What waits.
        options: Options of the accelerator.
        announce: Told of what was learned.

    Attributes:
        recycler: Replaces what is worn.
        stretches: Learns how many lanes are of use; ``None`` where their number is fixed, or learning is off.
    """

    def __init__(self, fleet: Fleet, state: State, queues: Queues, options: Options, announce: Listener) -> None:
        self.recycler = Recycler(fleet, state, options)
        least, most = options.min_lanes, options.lanes
        learns = least is not None and least < most and options.routing != "table"
        self.stretches = Stretches(fleet, state, most, announce) if learns else None
        scaled = (fleet, state, queues, options, self.recycler.full, self.stretches)
        self._scaler = Scaler(*scaled) if least is not None else None

    def __repr__(self) -> str:
        return f"<Upkeep {self._scaler!r} {self.recycler!r}>"

    def look(self) -> None:
        """See to everything; called after whatever happens."""
        if self.recycler.on:
            self.recycler.look()
        if self._scaler is not None:
            self._scaler.look()

    def sent(self, batch: Batch) -> None:
        """Take note of what was sent to a lane."""
        if self.stretches is not None:
            self.stretches.sent(batch)

    def answered(self, batch: Batch, done: bool) -> None:
        """Take note of what was answered, or failed."""
        if self.stretches is not None:
            self.stretches.answered(batch, done)

    async def close(self) -> None:
        """See to nothing any more."""
        await self.recycler.close()
        if self._scaler is not None:
            await self._scaler.close()
