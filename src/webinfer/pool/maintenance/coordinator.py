"""What keeps a fleet fit while it works: lanes added and ended by need, worn and overgrown ones replaced."""

from __future__ import annotations

from webinfer.core.options import Options
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.fleet.launcher import Launcher
from webinfer.pool.maintenance.autoscaler import Scaler
from webinfer.pool.maintenance.recycler import Recycler
from webinfer.pool.plan.assignment import State
from webinfer.pool.requests.queue import Queues


class Coordinator:
    """The scaler and the recycler of a fleet, as far as the options ask for them.

    Args:
        fleet: The browsers and lanes.
        launcher: Starts browsers.
        state: What the scheduler knows.
        queues: What waits.
        options: Options of the accelerator.

    Attributes:
        recycler: Replaces what is worn.
    """

    def __init__(self, fleet: Fleet, launcher: Launcher, state: State, queues: Queues, options: Options) -> None:
        self.recycler = Recycler(fleet, launcher, options)
        scaled = options.min_lanes is not None
        # The scaler reads the recycler's own set, so that it never grows a browser that is over its limit.
        self._scaler = Scaler(fleet, launcher, state, queues, options, self.recycler.full) if scaled else None

    def __repr__(self) -> str:
        return f"<Coordinator {self._scaler!r} {self.recycler!r}>"

    def look(self) -> None:
        """See to everything; called after whatever happens."""
        if self.recycler.on:
            self.recycler.look()
        if self._scaler is not None:
            self._scaler.look()

    async def close(self) -> None:
        """See to nothing any more."""
        await self.recycler.close()
        if self._scaler is not None:
            await self._scaler.close()
