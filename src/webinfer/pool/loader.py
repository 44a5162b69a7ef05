"""The sessions that somebody wants: made known, created on lanes, released."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from webinfer.browsers.lane import Lane, Recipe
from webinfer.core.background import Tasks
from webinfer.core.errors import BackendUnavailable, DeadlineExceeded, DeviceLost, LostError, PoolClosed, WebinferError
from webinfer.core.options import Options
from webinfer.pool.events import Listener, LoadFailed, SessionLoaded, told
from webinfer.pool.fleet.affinity import Homing
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.plan.assignment import LaneState, SessionKey, State
from webinfer.pool.requests.queue import Queues
from webinfer.pool.requests.request import Loading
from webinfer.transport.connection import OnTransfer

log = logging.getLogger("webinfer.loader")

OnFailed = Callable[[SessionKey, WebinferError], None]


class Loader:
    """Keeps a pool's sessions.

    Args:
        fleet: The lanes.
        state: What the scheduler knows; the sizes in it are kept here.
        queues: What waits, sessions that are to be created included.
        options: Options of the accelerator.
        announce: Told of every creation and every failure.
        on_failed: Called with a session that cannot be had, and why.
        on_change: Called after anything that a plan may depend on.
    """

    def __init__(
        self,
        fleet: Fleet,
        state: State,
        queues: Queues,
        options: Options,
        *,
        announce: Listener,
        on_failed: OnFailed,
        on_change: Callable[[], None],
    ) -> None:
        self._fleet = fleet
        self._state = state
        self._queues = queues
        self._options = options
        self._announce = announce
        self._on_failed = on_failed
        self._on_change = on_change
        self._sizes: dict[SessionKey, int] = {}
        self._loadings: dict[SessionKey, Loading] = {}
        self._names: dict[SessionKey, str] = {}  # on the wire
        self._opened = 0  # sessions ever made known
        self._ticks = 0  # grows with every use of a session
        self._tasks = Tasks()
        self._homing = Homing(fleet, state, queues, fail=self.fail, on_change=on_change)
        state.sizes = self._sizes
        if options.lane_capacity_mb is not None:
            state.capacity = int(options.lane_capacity_mb * 1e6)

    def __repr__(self) -> str:
        return f"<Loader {len(self._loadings)} {self._homing!r}>"

    def __contains__(self, key: SessionKey) -> bool:
        return key in self._loadings

    def open(self, key: SessionKey, recipe: Recipe) -> None:
        """Make a session known; ``release`` it as often as it was opened."""
        if key not in self._loadings:
            self._opened += 1
            self._names[key] = f"s{self._opened}"
            self._loadings[key] = Loading(recipe)
            self._sizes[key] = recipe.nbytes
        self._loadings[key].users += 1

    def name(self, key: SessionKey) -> str:
        """Return a session's name on the wire."""
        return self._names[key]

    async def wait(self, key: SessionKey, on_transfer: OnTransfer | None = None) -> SessionLoaded:
        """Have a session created on at least one lane.

        Raises:
            WebinferError: As the lane reported it.
        """
        loading = self._loadings[key]
        if loading.loaded is None:
            self._queues.want(key)
            loading.watchers.append(on_transfer) if on_transfer else None
            self._on_change()
            await loading.wait()
        assert loading.loaded is not None
        return loading.loaded

    def use(self, key: SessionKey, state: LaneState) -> None:
        """Note that a lane's session is used now."""
        self._ticks += 1
        state.loaded[key] = self._ticks

    def call(self, key: SessionKey) -> None:
        """Try once more to start a browser that a session prefers to where it is, if it is time to."""
        self._homing.call(key)

    def carry_out(self, load: list[tuple[SessionKey, str]], evict: list[tuple[SessionKey, str]]) -> None:
        """Do as planned: release what gives way, then create what is wanted."""
        for key, lane in evict:
            log.info("session %s of lane %s gives way", self._names[key], lane)
            self._drop(key, lane)
        for key, lane in load:
            self._state.lanes[lane].loading = key
            self._tasks.spawn(self._create(key, self._fleet.lanes[lane], self._state.lanes[lane]))

    def launch(self, keys: list[SessionKey]) -> None:
        """Have a browser up for each of these sessions."""
        self._homing.launch(keys)

    def release(self, key: SessionKey) -> bool:
        """Release a session on every lane, unless another model uses it too.

        Returns:
            Whether it is gone.
        """
        loading = self._loadings.get(key)
        if loading is None:
            return False
        loading.users -= 1
        if loading.users:
            return False
        del self._loadings[key], self._sizes[key]
        self._homing.forget(key)
        for state in self._state.lanes.values():
            if key in state.loaded:
                self._drop(key, state.id)
        del self._names[key]
        return True

    def fail(self, key: SessionKey, error: WebinferError) -> None:
        """Fail everybody who waits for a session; a later request may try again."""
        loading = self._loadings.get(key)
        if loading is not None:
            loading.attempts = 0
            loading.fail(error)
        self._on_failed(key, error)

    async def close(self) -> None:
        """Fail everybody who waits for any, and create none any more."""
        for key in tuple(self._loadings):
            self.fail(key, PoolClosed("The accelerator was closed."))
        await self._homing.close()
        await self._tasks.close()

    def _drop(self, key: SessionKey, lane: str) -> None:
        del self._state.lanes[lane].loaded[key]
        self._fleet.lanes[lane].unload(self._names[key])

    async def _create(self, key: SessionKey, lane: Lane, state: LaneState) -> None:
        loading, session = self._loadings.get(key), self._names.get(key)
        began = time.perf_counter()
        try:
            if loading is None or session is None:
                return
            loading.attempts += 1
            answer = await lane.load(session, loading.recipe, self._options.load_timeout, loading.transferred)
            if self._loadings.get(key) is not loading:  # closed meanwhile, and perhaps opened anew by another name
                lane.unload(session)
                return
        except WebinferError as failure:
            error = self._fleet.write_off(lane, failure) if isinstance(failure, LostError) else failure
            if isinstance(error, BackendUnavailable) and self._fleet.give_up(lane, error):
                error = DeviceLost(str(error))
            if isinstance(error, DeadlineExceeded) and key.backend == "webgpu":
                self._fleet.stop_browser(lane, error)
            event = LoadFailed(lane.id, key, error.code, str(error))
            log.info(
                "lane %s could not load %s: %s", lane.id, self._names.get(key, key.model), error, extra=told(event)
            )
            self._announce(event)
            if self._loadings.get(key) is not loading:
                return
            if not (error.retryable and loading and loading.attempts <= self._options.retries):
                self.fail(key, error)
        else:
            timing = answer.fields.get("timing", {})
            loaded = SessionLoaded(
                lane.id,
                key,
                int(answer.fields.get("nbytes", 0)),
                time.perf_counter() - began,
                timing.get("fetch", 0.0) / 1e3,
                timing.get("create", 0.0) / 1e3,
                int(answer.fields.get("stored", 0)),
                lane.placement(session),
                answer.fields.get("captured"),
            )
            self.use(key, state)
            loading.attempts = 0
            loading.finish(loaded)
            log.info(
                "lane %s has loaded %s for %s",
                lane.id,
                self._names.get(key, key.model),
                key.backend,
                extra=told(loaded),
            )
            self._announce(loaded)
            self._queues.satisfy(key)
            for elsewhere in self._homing.settle(key, lane.browser_name):
                self._drop(key, elsewhere)
        finally:
            state.loading = None
            self._on_change()
