"""The sessions that somebody wants: made known, created on lanes, released."""

from __future__ import annotations

import asyncio
import logging
import time

from webinfer.browsers.lane import Lane
from webinfer.browsers.recipe import Recipe
from webinfer.core.errors import (
    BackendUnavailable,
    DeadlineExceeded,
    DeviceLost,
    HandleLost,
    PoolClosed,
    RuntimeDied,
    WebinferError,
)
from webinfer.core.lifetime.background import Tasks
from webinfer.core.options import Backend, Options
from webinfer.core.placement import LaneId
from webinfer.pool.events import LoadFailedEvent, SessionLoaded, log_fields
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.fleet.launcher import Launcher
from webinfer.pool.owner import Owner
from webinfer.pool.plan.affinity import Subject, home, ranked
from webinfer.pool.plan.assignment import LaneState, Plan, SessionKey, State, make_room
from webinfer.pool.requests.queue import Queues
from webinfer.pool.sessions.affinity import Affinity
from webinfer.pool.sessions.loading import Loading
from webinfer.transport.connection import OnTransfer
from webinfer.transport.wire.answers import LoadAnswer

log = logging.getLogger("webinfer.loader")


class Loader:
    """Keeps a pool's sessions.

    Args:
        fleet: The lanes.
        launcher: Starts the browsers that sessions belong in.
        state: What the scheduler knows; the sizes in it are kept here.
        queues: What waits, sessions that are to be created included.
        options: Options of the accelerator.
        owner: The pool.

    Attributes:
        closed: Whether nothing is created any more.
    """

    def __init__(
        self, fleet: Fleet, launcher: Launcher, state: State, queues: Queues, options: Options, owner: Owner
    ) -> None:
        self.closed = False
        self._fleet = fleet
        self._launcher = launcher
        self._state = state
        self._queues = queues
        self._options = options
        self._owner = owner
        self._loadings: dict[SessionKey, Loading] = {}
        self._opened = 0  # sessions ever made known
        self._ticks = 0  # grows with every use of a session
        self._launching: set[tuple[tuple[str, ...], Backend]] = set()  # for whom a browser is being brought up
        self._affinity = Affinity(launcher, state, queues, owner)
        self._tasks = Tasks()
        self._creations: dict[LaneId, asyncio.Task[WebinferError | None]] = {}  # what each lane is creating

    def __repr__(self) -> str:
        return f"<Loader {len(self._loadings)} launching={len(self._launching)} {self._affinity!r}>"

    def __contains__(self, key: SessionKey) -> bool:
        return key in self._loadings

    def open(self, key: SessionKey, recipe: Recipe) -> None:
        """Make a session known; ``release`` it as often as it was opened.

        Args:
            key: The session.
            recipe: How a lane creates it.
        """
        if key not in self._loadings:
            self._opened += 1
            self._loadings[key] = Loading(recipe, f"s{self._opened}")
            self._state.sizes[key] = recipe.nbytes
        self._loadings[key].users += 1

    def name(self, key: SessionKey) -> str:
        """Return a session's name on the wire.

        Args:
            key: The session.
        """
        return self._loadings[key].name

    async def wait(self, key: SessionKey, on_transfer: OnTransfer | None = None) -> SessionLoaded:
        """Have a session created on at least one lane.

        Args:
            key: A session that is open.
            on_transfer: Called with the bytes that have arrived, and how many there are.

        Returns:
            The event of its creation, of the first one where there were several.

        Raises:
            WebinferError: As the lane reported it.
        """
        loading = self._loadings[key]
        if loading.loaded is None:
            self._queues.want(key)
            if on_transfer is not None:
                loading.watchers.append(on_transfer)
            self._owner.advance()
            await loading.wait()
        assert loading.loaded is not None
        return loading.loaded

    def use(self, key: SessionKey, state: LaneState) -> None:
        """Note that a lane's session is used now.

        Args:
            key: The session.
            state: The lane.
        """
        self._ticks += 1
        state.loaded[key] = self._ticks

    def call(self, key: SessionKey) -> None:
        """Try once more to start a browser that a session prefers to where it is, if it is time to.

        Args:
            key: The session.
        """
        self._affinity.call(key)

    def carry_out(self, plan: Plan) -> None:
        """Do what a plan says of sessions: release what gives way, create what is wanted, start browsers for them.

        Args:
            plan: The plan.
        """
        for key, id in plan.evict:
            log.info("session %s of lane %s gives way", self.name(key), id)
            self._drop(key, id)
        for key, id in plan.load:
            self._begin(key, id)
        for key in plan.launch:
            wanted = self._wanted(key)
            if wanted not in self._launching:
                self._launching.add(wanted)
                self._tasks.spawn(self._bring_up(*wanted))

    async def place(self, key: SessionKey, id: LaneId) -> None:
        """Have a session on one lane, for a request that can run nowhere else.

        Args:
            key: A session that is open.
            id: The lane.

        Raises:
            HandleLost: The lane is gone.
            PoolClosed: The session was released, or the accelerator closed, meanwhile.
            WebinferError: As the lane reported it.
        """
        while not self.closed and key in self._loadings and (state := self._state.lanes.get(id)) is not None:
            if key in state.loaded:
                return
            if state.loading is None:
                for old in make_room(key, state, self._state):
                    self._drop(old, id)
                self._begin(key, id)
            own, creation = state.loading == key, self._creations[id]
            await asyncio.wait({creation})
            # Where a session that was in the way failed, others are told. This one is tried after it.
            if own and not creation.cancelled() and (error := creation.result()):
                raise error
        if self.closed or key not in self._loadings:
            what = "accelerator" if self.closed else "model"
            raise PoolClosed(f"The {what} was closed before the request was answered.")
        raise HandleLost(f"Lane {id} is gone, and the tensors kept there: start over.", lane=str(id))

    def release(self, key: SessionKey) -> None:
        """Release a session on every lane, unless another model uses it too; what waits for it fails.

        Args:
            key: The session.
        """
        loading = self._loadings.get(key)
        if loading is None:
            return
        loading.users -= 1
        if loading.users:
            return
        self._affinity.forget(key)
        for state in self._state.lanes.values():
            if key in state.loaded:
                self._drop(key, state.id)
        del self._loadings[key], self._state.sizes[key]
        self._fail_waiting(key, PoolClosed("The model was closed."))

    def pass_over(self, subject: Subject, lane: Lane) -> bool:
        """Have another browser run a model that a lane's browser answers wrongly, where there is one.

        Args:
            subject: The model, its backend and precision.
            lane: The lane that answered.

        Returns:
            Whether another one runs it from now on, until the engine's version changes.
        """
        name, browsers = lane.browser_name, self._state.browsers
        keys = [key for key in self._loadings if key.subject == subject]
        state = browsers[name]
        state.passed_over[subject] = lane.capabilities.engine_version
        if not keys or any(home(key.browsers, subject, browsers) in (None, name) for key in keys):
            return False
        for held in self._state.lanes.values():
            if held.browser == name:
                for key in [key for key in held.loaded if key.subject == subject]:
                    self._drop(key, held.id)
        return True

    async def close(self) -> None:
        """Fail everybody who waits for any, and create none any more."""
        self.closed = True
        for key in tuple(self._loadings):
            self._fail(key, PoolClosed("The accelerator was closed."))
        await self._affinity.close()
        await self._tasks.close()

    def _wanted(self, key: SessionKey) -> tuple[tuple[str, ...], Backend]:
        """Return the browsers that a session prefers to run in, and its backend."""
        return ranked(key.browsers, key.subject, self._state.browsers) if key.browsers else (), key.backend

    def _begin(self, key: SessionKey, id: LaneId) -> None:
        state = self._state.lanes[id]
        state.loading = key  # now, not in the task: the next plan may be asked for before that begins
        self._creations[id] = self._tasks.spawn(self._create(key, self._fleet.registry.lanes[id], state))

    def _drop(self, key: SessionKey, id: LaneId) -> None:
        del self._state.lanes[id].loaded[key]
        self._fleet.registry.lanes[id].unload(self._loadings[key].name)

    def _fail(self, key: SessionKey, error: WebinferError) -> None:
        """Fail everybody who waits for a session; a later request may try again."""
        loading = self._loadings.get(key)
        if loading is not None:
            loading.attempts = 0
            loading.fail(error)
        self._fail_waiting(key, error)

    def _fail_waiting(self, key: SessionKey, error: WebinferError) -> None:
        """Fail the requests that wait for a session, or have them run alone where only batches cannot be had."""
        for request in self._queues.drop(key):
            group = request.group
            if group and key != group.alone and not isinstance(error, PoolClosed) and request.part():
                group.batching.end()
                self._queues.push(request)
            elif pause := request.rest(error, self._options.retries):
                self._queues.rest(request, pause, self._owner.advance)
            else:
                request.fail(error)

    async def _bring_up(self, names: tuple[str, ...], backend: Backend) -> None:
        """Have a browser up for the sessions that prefer these, or fail what waits for them."""
        try:
            await self._launcher.ensure(names, backend)
        except WebinferError as error:
            for key in self._queues.sessions():
                if self._wanted(key) == (names, backend):
                    self._fail(key, error)
        finally:
            self._launching.discard((names, backend))  # before the next plan, which may want that browser again
        self._owner.advance()

    async def _create(self, key: SessionKey, lane: Lane, state: LaneState) -> WebinferError | None:
        """Create a session on a lane, and report the outcome to everybody who waits for it.

        Returns:
            Why it could not be.
        """
        loading = self._loadings.get(key)
        try:
            if loading is None:
                return None  # released before this began
            loading.attempts += 1
            began = time.perf_counter()
            answer = await lane.load(loading.name, loading.recipe, self._options.load_timeout, loading.transferred)
        except WebinferError as error:
            self._failed(key, lane, loading, error)
            return error
        else:
            if self._loadings.get(key) is loading:
                self._created(key, lane, state, loading, answer, time.perf_counter() - began)
            else:  # closed meanwhile, and perhaps opened anew by another name
                lane.unload(loading.name)
        finally:
            state.loading = None
            self._creations.pop(lane.id, None)  # before the next plan, which may begin another one
            self._owner.advance()
        return None

    def _created(
        self, key: SessionKey, lane: Lane, state: LaneState, loading: Loading, answer: LoadAnswer, seconds: float
    ) -> None:
        loaded = SessionLoaded(
            lane.id,
            key,
            answer.nbytes,
            seconds,
            answer.timing.fetch / 1e3,
            answer.timing.create / 1e3,
            answer.stored,
            lane.placement(loading.name),
            answer.captured,
        )
        self.use(key, state)
        loading.attempts = 0
        loading.finish(loaded)
        log.info("lane %s has loaded %s for %s", lane.id, loading.name, key.backend, extra=log_fields(loaded))
        self._owner.announce(loaded)
        self._queues.satisfy(key)
        for elsewhere in self._affinity.settle(key, lane.browser_name):
            self._drop(key, elsewhere)

    def _failed(self, key: SessionKey, lane: Lane, loading: Loading | None, error: WebinferError) -> None:
        if isinstance(error, BackendUnavailable) and self._fleet.refuse_gpu(lane, error):
            error = DeviceLost(str(error))  # which is retried: the browser's successor may be granted a GPU
        elif isinstance(error, DeadlineExceeded) and key.backend == "webgpu":
            self._fleet.stop_run(lane, key.backend, error)  # what hangs on the GPU outlives its lane
        event = LoadFailedEvent(lane.id, key, error.code, str(error))
        name = loading.name if loading is not None else key.model
        log.info("lane %s could not load %s: %s", lane.id, name, error, extra=log_fields(event))
        self._owner.announce(event)
        if loading is None or self._loadings.get(key) is not loading:
            return  # nobody waits for it any more
        # A runtime that dies of making a session dies of it in the next lane, too.
        may_help = error.retryable and not isinstance(error, RuntimeDied)
        if not (may_help and loading.attempts <= self._options.retries):
            self._fail(key, error)
