"""The pool: it brings requests and sessions to lanes, as ``plan.assignment.plan`` decides.

Everything here runs on one event loop and nothing is locked. Whatever happens (a request, an answer, a loss) changes
the state and then calls ``advance``, which asks for a plan and carries it out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from webinfer.browsers.browser import Browser
from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.lane import Lane
from webinfer.browsers.recipe import Recipe
from webinfer.core.errors import PoolClosed, QueueFull, WrongLoop
from webinfer.core.options import Backend, Options
from webinfer.core.placement import LaneId, Placement
from webinfer.pool.dispatcher import Dispatcher
from webinfer.pool.events import Event, HostStalled, Listener, SessionLoaded
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.fleet.launcher import Launcher
from webinfer.pool.fleet.registry import Registry
from webinfer.pool.maintenance.coordinator import Coordinator
from webinfer.pool.plan.affinity import Subject
from webinfer.pool.plan.assignment import LaneState, SessionKey, State, least_busy, plan
from webinfer.pool.plan.timeouts import Timeouts
from webinfer.pool.requests.batcher import Batcher
from webinfer.pool.requests.queue import Queues
from webinfer.pool.requests.request import Request
from webinfer.pool.sessions.loader import Loader
from webinfer.transport.connection import OnTransfer
from webinfer.transport.server import Host
from webinfer.transport.wire.answers import RunAnswer
from webinfer.transport.wire.conversation import Reply


class Pool:
    """Browsers, lanes and the requests that wait for them.

    It owns its parts, and they call it back. The fleet and the launcher fill the registry of lanes. The queues, the
    batcher and the dispatcher handle requests, the loader handles sessions, and the maintenance keeps the fleet fit.

    Args:
        host: A started host.
        installations: Browsers that may be started, in order of preference.
        options: Options of the accelerator.

    Attributes:
        host: The host.
        installations: Browsers that may be started, in order of preference.
        options: Options of the accelerator.
        timeouts: What the time limit of a run is made of.
        closed: Whether it takes nothing more.
    """

    def __init__(self, host: Host, installations: Sequence[Installation], options: Options) -> None:
        self.host = host
        self.installations = tuple(installations)
        self.options = options
        self.timeouts = Timeouts(options.run_timeout, options.timeout_factors or {}, options.large_timeout_factor)
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._listeners: list[Listener] = []
        self._submitted = 0  # requests ever submitted
        self._registry = registry = Registry(installation.name for installation in installations)
        self._fleet = fleet = Fleet(host, options, registry, self)
        self._launcher = launcher = Launcher(fleet, installations, options, self)
        self._queues = queues = Queues()
        # The scheduler reads the registry's own dictionaries: the next plan knows of every loss without a copy.
        self._state = state = State(registry.states, {}, registry.browser_states)
        if options.lane_capacity_mb is not None:
            state.capacity = int(options.lane_capacity_mb * 1e6)
        self._loader = Loader(fleet, launcher, state, queues, options, self)
        self._batcher = Batcher(queues, state.depth, self)
        self._dispatcher = Dispatcher(fleet, self._loader, queues, options.retries, self)
        self._maintenance = Coordinator(fleet, launcher, state, queues, options)
        host.on_stall = lambda seconds: self.announce(HostStalled(seconds))

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<Pool browsers={len(self.browsers)} lanes={len(self.lanes)} queued={self.queued} {state}>"

    @property
    def browsers(self) -> Mapping[str, Browser]:
        """Browsers that are up, by id."""
        return self._registry.browsers

    @property
    def lanes(self) -> Mapping[LaneId, Lane]:
        """Lanes that can take work, by id."""
        return self._registry.lanes

    @property
    def lane_states(self) -> Mapping[LaneId, LaneState]:
        """What the scheduler knows of each lane."""
        return self._registry.states

    @property
    def queued(self) -> int:
        """Requests that wait for a lane."""
        return self._queues.count

    @property
    def queue_peak(self) -> int:
        """The most requests that ever waited."""
        return self._queues.peak

    @property
    def running_peak(self) -> int:
        """The most requests that ever were on lanes."""
        return self._dispatcher.in_flight.peak

    @property
    def busy(self) -> int:
        """Lanes that are running something."""
        return sum(1 for state in self._registry.states.values() if state.running)

    @property
    def waiting(self) -> Mapping[SessionKey, Sequence[Request]]:
        """Requests that wait, by session, the most urgent first."""
        return self._queues.sessions()

    @property
    def in_flight(self) -> Mapping[LaneId, Sequence[Request]]:
        """Requests that were sent, by lane, in order of sending."""
        return self._dispatcher.in_flight.by_lane()

    def placement(self, lane: Lane, key: SessionKey) -> Placement | None:
        """Return which backends the nodes of a lane's session went to; ``None`` where the runtime does not report it.

        Args:
            lane: The lane.
            key: The session.
        """
        return lane.placement(self._loader.name(key))

    def holders(self) -> dict[str, set[str]]:
        """Return the ids of the browsers that hold each model loaded, by its hash."""
        browsers: dict[str, set[str]] = {}
        for id, state in self._registry.states.items():
            for key in state.loaded:
                browsers.setdefault(key.model, set()).add(id.browser)
        return browsers

    async def memory(self) -> dict[str, int]:
        """Return the memory of each browser's processes, in bytes, by the browser's id; 0 of one that is not ours."""
        return await self._fleet.memory()

    def limit_memory(self, limits: Mapping[str, float]) -> None:
        """Limit the megabytes that browsers, by name, may take; those that are not named keep their limits.

        Args:
            limits: Megabytes by name.
        """
        self._maintenance.recycler.limit(limits)
        self.advance()

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` called with every event.

        Args:
            listener: What is called.
        """
        self._listeners.append(listener)

    def announce(self, event: Event) -> None:
        """Tell every listener of an event.

        Args:
            event: The event.
        """
        for listener in self._listeners:
            listener(event)

    async def ensure(self, names: Sequence[str] = (), backend: Backend | None = None) -> Browser:
        """Have a browser up: the first that starts and can run a backend; see ``Launcher.ensure``.

        Args:
            names: Browsers to choose from, in order; none for all.
            backend: What it must be able to run; ``None`` for no matter.

        Returns:
            A browser that is up and can run the backend.

        Raises:
            CancelledError: The caller gave up.
            BackendUnavailable: None of them can run it.
            LaunchFailed: None of them started.
            PoolClosed: The pool was closed meanwhile.
        """
        self._check_open()
        try:
            return await self._launcher.ensure(names, backend)
        except asyncio.CancelledError:
            self._check_open()  # close() cancels launches, which reaches their callers as a cancellation
            raise

    async def resize(self, name: str, lanes: int, threads: int | None) -> None:
        """Have a browser have as many lanes as a contest found to be the best; see ``Fleet.resize``.

        Args:
            name: The browser's name.
            lanes: The number.
            threads: WebAssembly threads of each; ``None`` shares the cores out.

        Raises:
            PoolClosed: The pool was closed.
        """
        self._check_open()
        await self._fleet.resize(name, lanes, threads)

    def obstacle(self, name: str, subject: Subject) -> str:
        """Return what keeps a session of a model from a browser.

        Args:
            name: The browser's name.
            subject: The model's hash, its backend and precision.
        """
        return self._launcher.obstacle(name, subject)

    def open(self, key: SessionKey, recipe: Recipe) -> None:
        """Make a session known, so that requests for it may be submitted; ``unload`` it as often as it was opened.

        Args:
            key: The session.
            recipe: How a lane creates it.
        """
        self._loader.open(key, recipe)

    def holds(self, key: SessionKey, id: LaneId | None = None) -> bool:
        """Return whether a lane has that session.

        Args:
            key: The session.
            id: The lane; ``None`` for any.
        """
        return any(key in state.loaded for state in self._registry.states.values() if id in (None, state.id))

    async def load(self, key: SessionKey, on_transfer: OnTransfer | None = None) -> SessionLoaded:
        """Have a session created on at least one lane.

        Args:
            key: A session that is open.
            on_transfer: Called with the bytes that have arrived, and how many there are.

        Returns:
            The event of its creation, of the first one where there were several.

        Raises:
            WebinferError: As the lane reported it.
        """
        self._check_open()
        return await self._loader.wait(key, on_transfer)

    async def place(self, key: SessionKey, id: LaneId) -> None:
        """Have a session on one lane; see ``Loader.place``.

        Args:
            key: A session that is open.
            id: The lane.

        Raises:
            HandleLost: The lane is gone.
            PoolClosed: The pool is closed.
            WebinferError: As the lane reported it.
        """
        self._check_open()
        await self._loader.place(key, id)

    def free(self, id: LaneId, handles: Sequence[str]) -> None:
        """Release tensors that stayed on a lane, unless it is gone.

        Args:
            id: The lane.
            handles: Names that the tensors were kept under.
        """
        if handles and (lane := self.lanes.get(id)):
            lane.free(handles)

    def unload(self, key: SessionKey) -> None:
        """Release a session on every lane, unless another model uses it too.

        Args:
            key: The session.
        """
        self._loader.release(key)

    def pass_over(self, subject: Subject, lane: Lane) -> bool:
        """Have another browser run a model that a lane's browser answers wrongly, where there is one.

        Args:
            subject: The model's hash, its backend and precision.
            lane: The lane that answered.

        Returns:
            Whether another one runs it from now on, until the engine's version changes.
        """
        is_elsewhere = self._loader.pass_over(subject, lane)
        self.advance()
        return is_elsewhere

    def submit(self, request: Request) -> asyncio.Future[Reply[RunAnswer]]:
        """Queue a request.

        Args:
            request: What to run, for a session that is open.

        Returns:
            A future of its answer. Cancel it to give the request up.

        Raises:
            PoolClosed: The pool is closed.
            QueueFull: ``max_queue`` requests wait already.
            WrongLoop: Another event loop started the pool.
        """
        self._check_open()
        if self._queues.count >= self.options.max_queue:
            waiting = f"{self._queues.count:,} requests wait already: slow down, or raise max_queue."
            raise QueueFull(waiting, queued=self._queues.count)
        request.future = self._loop.create_future()
        request.submitted = time.perf_counter()
        self._submitted += 1
        request.number = self._submitted
        self._dispatcher.watch(request)
        # Where nothing waits, the least busy lane is the whole plan, and asking for that alone costs less.
        id = request.pinned or (None if self._queues or request.group else least_busy(request.key, self._state))
        if id is not None:
            self._dispatcher.send([request], self._registry.lanes[id])
        else:
            self._queues.push(request)
            self.advance()
        self._loader.call(request.key)
        return request.future

    def give_up(self, request: Request) -> None:
        """Forget a request whose caller has gone; one that runs already runs on, and its answer is dropped.

        Args:
            request: The request.
        """
        self._dispatcher.give_up(request)

    async def close(self) -> None:
        """Fail what waits, end every browser."""
        if self.closed:
            return
        self.closed = True
        # The fleet comes last: closing its lanes fails what they run, and a closed loader keeps that out of the queue.
        self._dispatcher.close()
        self._batcher.close()
        await self._loader.close()
        await self._maintenance.close()
        await self._launcher.close()
        await self._fleet.close()

    def advance(self) -> None:
        """Plan, and carry the plans out, until no more can be done now.

        Each level of priority is planned by itself, the highest first, so that a lower one gets only what is left. A
        plan sends one batch of a session at most, because sending it changes what the next one may hold: while a plan
        has sent a batch, its level is planned again. A batch that waits for a lane reserves it against all levels
        below, or smaller requests would always be in front of it.

        Nothing here waits, and nothing that it calls comes back to it: what starts is a task, and what fails at once is
        reported in the next turn of the loop.
        """
        if self.closed:
            return
        state, batcher = self._state, self._batcher
        state.reserved.clear()
        for priority, level in self._queues.levels():
            again = True
            while again:
                state.waiting = level
                state.depths = batcher.depths(priority, level)
                todo = plan(state)
                for key, id in todo.dispatch:
                    # An earlier batch of this plan may have taken all that waited.
                    if count := batcher.count(key, level):
                        self._dispatcher.send(self._queues.take(priority, key, count), self._registry.lanes[id])
                # After the requests: a lane reads in order, so what a session was sent goes ahead of its release.
                self._loader.carry_out(todo)
                state.reserved.update(todo.reserve)
                again = any(key in state.depths for key, _ in todo.dispatch)
        state.depths = {}  # submit() asks least_busy() outside of a plan, where every session has the usual depth
        self._maintenance.look()

    def _check_open(self) -> None:
        if self.closed:
            raise PoolClosed("The accelerator is closed: make a new one.")
        if asyncio.get_running_loop() is not self._loop:
            raise WrongLoop("Another event loop started this accelerator: make one in each loop, or use Accelerator.")
