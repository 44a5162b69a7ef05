"""The pool: requests and sessions, brought to the fleet's lanes as ``policy.assignment.plan`` decides.

Everything here runs on one event loop and nothing is locked. Whatever happens (a request, an answer, a loss)
changes the state and then calls ``_advance``, which asks for a plan and carries it out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

from webinfer.browsers.browser import Browser
from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.lane import Lane, Recipe
from webinfer.core.errors import DeadlineExceeded, LaneLost, LostError, PoolClosed, QueueFull, WebinferError, WrongLoop
from webinfer.core.options import Backend, Options
from webinfer.core.placement import Placement
from webinfer.pool.events import Event, HostStalled, Listener, RunFailed, RunFinished, SessionLoaded, told
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.loader import Loader
from webinfer.pool.maintenance.coordinator import Upkeep
from webinfer.pool.plan.assignment import LaneState, Plan, SessionKey, State, least_busy, plan
from webinfer.pool.plan.timeouts import Timeouts
from webinfer.pool.requests.batch import Batch, Flights
from webinfer.pool.requests.batcher import Gathering
from webinfer.pool.requests.deadlines import Deadlines
from webinfer.pool.requests.queue import Level, Queues
from webinfer.pool.requests.request import Request
from webinfer.transport.connection import OnTransfer, Reply
from webinfer.transport.server import Host
from webinfer.transport.wire import Message

log = logging.getLogger("webinfer.pool")


class Pool:
    """Browsers, lanes and the requests that wait for them.

    Args:
        host: A started host.
        installations: Browsers that may be started, in order of preference.
        options: Options of the accelerator.

    Attributes:
        timeouts: What the time limit of a run is made of.
        running_peak: The most requests that ever were on lanes.
    """

    def __init__(self, host: Host, installations: Sequence[Installation], options: Options) -> None:
        self.host = host
        self.installations = tuple(installations)
        self.options = options
        self.timeouts = Timeouts(options.run_timeout, options.timeout_factors or {}, options.large_timeout_factor)
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._fleet = Fleet(
            host,
            installations,
            options,
            announce=self._announce,
            on_lane=self._lane_started,
            on_gone=self._lane_gone,
            on_change=self._advance,
        )
        self._state = State(lanes={}, waiting={}, browsers=self._fleet.states)
        self._queues = Queues()
        self._lane_states: dict[str, LaneState] = {}
        self._flights = Flights(self._end)
        self._gathering = Gathering(self._queues, self._state.depth, self._advance)
        self._state.lanes = self._lane_states
        self._loader = Loader(
            self._fleet,
            self._state,
            self._queues,
            options,
            announce=self._announce,
            on_failed=self._fail_queue,
            on_change=self._advance,
        )
        self._upkeep = Upkeep(self._fleet, self._state, self._queues, options)
        self._running = self.running_peak = 0
        self._deadlines = Deadlines(self._expire)
        host.on_stall = lambda seconds: self._announce(HostStalled(seconds))
        self._listeners: list[Listener] = []
        self._submitted = 0  # requests ever submitted

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<Pool browsers={len(self.browsers)} lanes={len(self.lanes)} queued={self.queued} {state}>"

    @property
    def browsers(self) -> Mapping[str, Browser]:
        """Browsers that are up, by id."""
        return self._fleet.browsers

    @property
    def lanes(self) -> Mapping[str, Lane]:
        """Lanes that can take work, by id."""
        return self._fleet.lanes

    @property
    def queued(self) -> int:
        """Requests that wait for a lane."""
        return self._queues.count

    @property
    def queue_peak(self) -> int:
        """The most requests that ever waited."""
        return self._queues.peak

    @property
    def busy(self) -> int:
        """Lanes that are running something."""
        return sum(1 for state in self._lane_states.values() if state.running)

    @property
    def waiting(self) -> Mapping[SessionKey, Sequence[Request]]:
        """Requests that wait, by session, the most urgent first."""
        return self._queues.sessions()

    @property
    def flying(self) -> Mapping[str, Sequence[Request]]:
        """Requests that were sent, by lane, in order of sending."""
        return self._flights.by_lane()

    @property
    def lane_states(self) -> Mapping[str, LaneState]:
        """What the scheduler knows of each lane."""
        return self._lane_states

    def placement(self, lane: Lane, key: SessionKey) -> Placement | None:
        """Return where the nodes of a session that a lane holds went, where the runtime told."""
        return lane.placement(self._loader.name(key))

    def holders(self) -> dict[str, set[str]]:
        """Return the ids of the browsers that hold each model loaded, by its hash."""
        found: dict[str, set[str]] = {}
        for lane in self.lanes.values():
            for key in self._lane_states[lane.id].loaded:
                found.setdefault(key.model, set()).add(lane.browser)
        return found

    async def memory_of_each(self) -> dict[str, int]:
        """Return the memory of each browser's processes, in bytes; 0 of one that is not ours."""
        return await self._fleet.memory()

    def limit_memory(self, limits: Mapping[str, float]) -> None:
        """Limit the megabytes that browsers, by name, may take; those that are not named keep their limits."""
        self._upkeep.recycler.limit(limits)
        self._advance()

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` called with every event."""
        self._listeners.append(listener)

    async def ensure(self, names: Sequence[str] = (), backend: Backend | None = None) -> Browser:
        """Have a browser up: the first of ``names`` that starts and can run a backend; see ``Fleet.ensure``.

        Raises:
            BackendUnavailable: None of them can run it.
            LaunchFailed: None of them started.
            PoolClosed: The pool was closed meanwhile.
        """
        self._check_open()
        try:
            return await self._fleet.ensure(names, backend)
        except asyncio.CancelledError:
            self._check_open()
            raise

    def obstacle(self, name: str, backend: Backend) -> str:
        """Say what keeps a session of that backend from a browser."""
        return self._fleet.obstacle(name, backend)

    def open(self, key: SessionKey, recipe: Recipe) -> None:
        """Make a session known, so that requests for it may be submitted; ``unload`` it as often as it was opened."""
        self._loader.open(key, recipe)

    def holds(self, key: SessionKey) -> bool:
        """Whether a lane has that session."""
        return any(key in state.loaded for state in self._lane_states.values())

    async def load(self, key: SessionKey, on_transfer: OnTransfer | None = None) -> SessionLoaded:
        """Have a session created on at least one lane.

        Returns:
            The event of its creation, of the first one where there were several.

        Raises:
            WebinferError: As the lane reported it.
        """
        self._check_open()
        return await self._loader.wait(key, on_transfer)

    def submit(self, request: Request) -> asyncio.Future[Message]:
        """Queue a request.

        Returns:
            A future of its answer. Cancel it to give the request up.

        Raises:
            PoolClosed: The pool is closed.
            QueueFull: ``max_queue`` requests wait already.
            WrongLoop: Another event loop started the pool.
        """
        self._check_open()
        if self.queued >= self.options.max_queue:
            waiting = f"{self.queued:,} requests wait already: slow down, or raise max_queue."
            raise QueueFull(waiting, queued=self.queued)
        request.future = asyncio.get_running_loop().create_future()
        request.submitted = time.perf_counter()
        self._submitted += 1
        request.number = self._submitted
        self._deadlines.add(request)
        lane = request.pinned or (None if self._queues or request.mates else least_busy(request.key, self._state))
        if lane is not None:
            self._send([request], self.lanes[lane])
        else:
            self._queues.push(request)
            self._advance()
        self._loader.call(request.key)
        return request.future

    def give_up(self, request: Request) -> None:
        """Forget a request whose caller has gone; one that runs already runs on, and its answer is dropped."""
        request.settle()
        if request.lane is None:
            self._queues.remove(request)
        else:
            self._flights.watch(request.lane.id)

    def unload(self, key: SessionKey) -> None:
        """Release a session on every lane, unless another model uses it too."""
        if self._loader.release(key):
            self._fail_queue(key, PoolClosed("The model was closed."))

    async def close(self) -> None:
        """Fail what waits, end every browser."""
        if self.closed:
            return
        self.closed = True
        self._deadlines.close()
        self._flights.close()
        self._gathering.close()
        await self._loader.close()
        await self._upkeep.close()
        await self._fleet.close()

    # What the plan asks for

    def _advance(self) -> None:
        if self.closed:
            return
        self._state.reserved.clear()
        for priority, level in self._queues.levels():
            again = True
            while again:
                self._state.waiting = level
                self._state.depths = self._gathering.depths(priority, level)
                made = plan(self._state)
                self._carry_out(made, priority, level)
                self._state.reserved.update(made.reserve)
                again = any(key in self._state.depths for key, _ in made.dispatch)
        self._state.depths = {}
        self._upkeep.look()

    def _carry_out(self, made: Plan, priority: int, level: Level) -> None:
        for key, lane in made.dispatch:
            if count := self._gathering.count(key, level):
                self._send(self._queues.take(priority, key, count), self.lanes[lane])
        self._loader.carry_out(made.load, made.evict)
        self._loader.launch(made.launch)

    def _send(self, requests: list[Request], lane: Lane) -> None:
        batch = Batch(requests, lane)
        key = batch.key
        state = self._lane_states[lane.id]
        state.running += 1
        state.runs += len(requests)
        self._running += len(requests)
        self.running_peak = max(self.running_peak, self._running)
        self._loader.use(key, state)
        self._flights.add(batch)
        now, placement = time.perf_counter(), self.placement(lane, key)
        for request in requests:
            request.sent(lane, len(requests), now, placement)
        try:
            lane.run(
                self._loader.name(key),
                batch.tensors,
                requests[0].outputs,
                lambda reply: self._replied(batch, state, reply),
                requests[0].residents,
            )
        except WebinferError as error:  # nothing was sent
            lane.blamed = lane.blamed or isinstance(error, LostError)
            asyncio.get_running_loop().call_soon(self._replied, batch, state, error)

    def _replied(self, batch: Batch, state: LaneState, reply: Reply) -> None:
        state.running -= 1
        self._running -= len(batch)
        self._flights.remove(batch)
        if isinstance(reply, LostError):
            batch.take_blame()
        if state.id not in self._lane_states and not self._flights.on(state.id):
            self._fleet.drained(state.id)
        for request, answer in zip(batch.requests, batch.answers(reply), strict=True):
            if request.settled:
                continue
            if isinstance(answer, Message):
                self._finish(request, answer)
            else:
                self._fail(request, answer)
        if batch.requests[0].mates and isinstance(reply, Message):
            self._announce(batch.finished(reply, time.perf_counter()))
        self._advance()

    def _finish(self, request: Request, message: Message) -> None:
        request.succeed(message)
        if not request.nobodys:
            asyncio.get_running_loop().call_soon(self._tell_finished, request)  # once the caller has its answer

    def _tell_finished(self, request: Request) -> None:
        assert request.lane is not None
        lane, times = request.lane, request.times
        spent = times.queue, times.transfer, times.run, times.total
        how = request.attempts, request.together, request.recorded
        self._announce(RunFinished(lane.id, lane.browser, request.key, request.items, *spent, *how))

    def _fail(self, request: Request, error: WebinferError) -> None:
        lane, request.lane = request.lane, None
        if lane is not None and isinstance(error, LostError):
            error = self._fleet.write_off(lane, error)
        if self.closed or request.key not in self._loader:
            what = "accelerator" if self.closed else "model"
            error = PoolClosed(f"The {what} was closed before the request was answered.")
            again = False
        else:
            may = error.retryable and request.pinned is None and request.losses <= self.options.retries
            again = may or request.part()
        event = _failure(request, error, again, lane)
        what = "is run again after" if again else "is given up after"
        log.info("%s %s attempt %d: %s", request, what, request.attempts, error, extra=told(event))
        self._tell_failed(request, event)
        if again:
            self._queues.push(request)
        else:
            request.fail(error)

    def _tell_failed(self, request: Request, event: RunFailed) -> None:
        if not request.nobodys:
            self._announce(event)

    def _expire(self, request: Request) -> None:
        """A deadline has passed. A lane that computes cannot be interrupted, only ended."""
        if request.settled:
            return
        lane = request.lane
        if lane is None:
            stage = "queued"
            self._queues.remove(request)
        else:
            computed = self._flights.computed(lane.id)
            stage = "running" if request in computed.requests else "sent"
            if stage == "running" and not computed.is_wanted(but_for=request):
                self._end(computed, f"a run took over {request.timeout:g} s")
        why = f"No answer within {request.timeout:g} s ({stage}): raise run_timeout, or send less at once."
        error = DeadlineExceeded(why, stage=stage, timeout=request.timeout)
        event = _failure(request, error, False, lane)
        log.info("%s is given up: %s", request, why, extra=told(event))
        self._tell_failed(request, event)
        request.fail(error)

    def _end(self, batch: Batch, why: str) -> None:
        """End a run: with its lane, or with its browser where the GPU would compute on."""
        lane = batch.lane
        if self._fleet.lane(lane.id) is not None:
            stop = self._fleet.stop_browser if batch.key.backend == "webgpu" else self._fleet.stop_lane
            stop(lane, LaneLost(f"Lane {lane.id} was ended: {why}."))

    def _lane_started(self, lane: Lane) -> None:
        backends = frozenset(lane.capabilities.backends)
        self._lane_states[lane.id] = LaneState(lane.id, backends, browser=lane.browser_name)

    def _lane_gone(self, lane: Lane) -> None:
        self._lane_states.pop(lane.id, None)
        if not self._flights.on(lane.id):
            self._fleet.drained(lane.id)

    def _fail_queue(self, key: SessionKey, error: WebinferError) -> None:
        for request in self._queues.drop(key):
            mates = request.mates
            if mates and key != mates.alone and not isinstance(error, PoolClosed) and request.part():
                mates.batching.end()
                self._queues.push(request)
            else:
                request.fail(error)

    def _check_open(self) -> None:
        if self.closed:
            raise PoolClosed("The accelerator is closed: make a new one.")
        if asyncio.get_running_loop() is not self._loop:
            raise WrongLoop("Another event loop started this accelerator: make one in each loop, or use Accelerator.")

    def _announce(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)


def _failure(request: Request, error: WebinferError, again: bool, lane: Lane | None) -> RunFailed:
    where = lane.id if lane else None
    return RunFailed(request.key, error.code, request.attempts, again, where, str(error), request.recorded)
