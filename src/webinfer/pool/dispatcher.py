"""Requests on lanes: sent, answered, run again after a loss, given up when they are late."""

from __future__ import annotations

import asyncio
import logging
import time

from webinfer.browsers.lane import Lane
from webinfer.core.errors import DeadlineExceeded, LostError, PoolClosed, RuntimeDied, WebinferError
from webinfer.pool.events import RunFailedEvent, RunFinished, log_fields
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.owner import Owner
from webinfer.pool.requests.batch import Batch
from webinfer.pool.requests.deadlines import Deadlines
from webinfer.pool.requests.in_flight import InFlight
from webinfer.pool.requests.queue import Queues
from webinfer.pool.requests.request import Request
from webinfer.pool.sessions.loader import Loader
from webinfer.transport.connection import Outcome
from webinfer.transport.wire.answers import RunAnswer
from webinfer.transport.wire.conversation import Reply

log = logging.getLogger("webinfer.pool")


class Dispatcher:
    """Sees each request to its end, which is one result or one error, whatever is lost on the way.

    Args:
        fleet: The lanes.
        loader: The sessions on them.
        queues: Where a request that is to run again waits.
        retries: How often a request may lose its lane while it is computed.
        owner: The pool.

    Attributes:
        in_flight: What is on lanes.
    """

    def __init__(self, fleet: Fleet, loader: Loader, queues: Queues, retries: int, owner: Owner) -> None:
        self.in_flight = InFlight(fleet)
        self._fleet = fleet
        self._loader = loader
        self._queues = queues
        self._retries = retries
        self._owner = owner
        self._deadlines = Deadlines(self._expire)

    def __repr__(self) -> str:
        return f"<Dispatcher {self.in_flight!r} {self._deadlines!r}>"

    def watch(self, request: Request) -> None:
        """Give a request up when its time is over, from now on.

        Args:
            request: One that was just submitted.
        """
        self._deadlines.add(request)

    def send(self, requests: list[Request], lane: Lane) -> None:
        """Send requests to a lane that holds their session, to be run together.

        Args:
            requests: They, all of one session.
            lane: One that can take work.
        """
        batch = Batch(requests, lane, self._fleet.registry.states[lane.id])
        state, session = batch.state, self._loader.name(batch.key)
        state.running += 1
        state.runs += len(requests)
        self._loader.use(batch.key, state)
        self.in_flight.add(batch)
        now, placement = time.perf_counter(), lane.placement(session)
        for request in requests:
            request.sent(lane, len(requests), now, placement)
        first = requests[0]
        try:
            lane.run(
                session,
                batch.tensors,
                first.outputs,
                lambda outcome: self._replied(batch, outcome),
                first.residents,
            )
        except WebinferError as error:  # nothing was sent; _replied() plans anew, and a plan may be under way here
            asyncio.get_running_loop().call_soon(self._replied, batch, error)

    def give_up(self, request: Request) -> None:
        """Forget a request whose caller has gone; one that runs already runs on, and its answer is dropped.

        Args:
            request: The request.
        """
        request.settle()
        if request.lane is None:
            self._queues.remove(request)
        else:
            self.in_flight.watch(request.lane.id)

    def close(self) -> None:
        """Give nothing up any more."""
        self._deadlines.close()
        self.in_flight.close()

    def _replied(self, batch: Batch, outcome: Outcome[RunAnswer]) -> None:
        """Take in what came of a batch: an answer, an error of its own, or the loss of its lane.

        Where the lane was lost, the fleet knows already: a lane reports its loss before it passes on what it fails.
        """
        batch.state.running -= 1  # the batch's own state: a lost lane is in the registry no more
        self.in_flight.remove(batch)
        if isinstance(outcome, LostError) and not outcome.data.get("bystander"):
            batch.take_blame()  # before _fail(), which reads how many losses a request has
        if batch.lane.retired and not batch.state.running:
            self._fleet.drained(batch.lane)
        for request, own in zip(batch.requests, batch.outcomes(outcome), strict=True):
            if request.settled:
                continue  # it was given up or late, and its caller has an outcome already
            if isinstance(own, Reply):
                self._finish(request, own)
            else:
                self._fail(request, own)
        if batch.requests[0].group and isinstance(outcome, Reply):
            self._owner.announce(batch.finished(outcome, time.perf_counter()))
        self._owner.advance()

    def _finish(self, request: Request, reply: Reply[RunAnswer]) -> None:
        request.succeed(reply)
        if not request.internal:
            asyncio.get_running_loop().call_soon(self._announce_finished, request)  # once the caller has its answer

    def _announce_finished(self, request: Request) -> None:
        assert request.lane is not None
        id, times = request.lane.id, request.times
        spent = times.queue, times.transfer, times.run, times.total
        course = request.attempts, request.together, request.recorded
        self._owner.announce(RunFinished(id, id.browser, request.key, request.items, *spent, *course))

    def _fail(self, request: Request, error: WebinferError) -> None:
        """Run a request again where that may help, or fail it.

        It may help where the error says so and the request is not to blame too often: each loss of a lane that computed
        it counts, for it may be what kills lanes. One whose state lay on the lane cannot run elsewhere. One that ran in
        a batch runs alone, which may help whatever the error is. One that was on lost lanes too often rests before it
        is sent again: until its deadline it has as many attempts as find time.
        """
        pause: float | None = None
        lane, request.lane = request.lane, None
        if self._loader.closed or request.key not in self._loader:
            what = "accelerator" if self._loader.closed else "model"
            error, again = PoolClosed(f"The {what} was closed before the request was answered."), False
        else:
            retries = self._retries
            if isinstance(error, RuntimeDied):  # most often, the next lane's dies of it as well
                retries = 0 if request.replaceable else min(retries, 1)
            may_help = error.retryable and request.pinned is None and request.losses <= retries
            again = may_help or request.part()  # part() changes the request: only where running it as it was is out
            if not again:
                pause = request.rest(error, self._retries)
                again = pause is not None
        event = _failure(request, error, again, lane)
        end = "is run again after" if again else "is given up after"
        log.info("%s %s attempt %d: %s", request, end, request.attempts, error, extra=log_fields(event))
        self._announce_failed(request, event)
        if pause is not None:
            self._queues.rest(request, pause, self._owner.advance)
        elif again:
            self._queues.push(request)
        else:
            request.fail(error)

    def _announce_failed(self, request: Request, event: RunFailedEvent) -> None:
        if not request.internal:
            self._owner.announce(event)

    def _expire(self, request: Request) -> None:
        """Give up a request whose deadline has passed. A lane that computes it cannot be interrupted, only ended."""
        if request.settled:
            return
        lane = request.lane
        if lane is None:
            stage = "queued"
            self._queues.remove(request)
        else:
            computed = self.in_flight.computed(lane.id)
            stage = "running" if request in computed.requests else "sent"
            # Others may still wait for the same batch. One that is only sent costs nothing: its answer is dropped.
            if stage == "running" and not computed.is_wanted(but_for=request):
                self.in_flight.stop(computed, f"a run took over {request.timeout:g} s")
        why = f"No answer within {request.timeout:g} s ({stage}): raise run_timeout, or send less at once."
        error = DeadlineExceeded(why, stage=stage, timeout=request.timeout)
        event = _failure(request, error, False, lane)
        log.info("%s is given up: %s", request, why, extra=log_fields(event))
        self._announce_failed(request, event)
        request.fail(error)


def _failure(request: Request, error: WebinferError, again: bool, lane: Lane | None) -> RunFailedEvent:
    where = lane.id if lane else None
    return RunFailedEvent(request.key, error.code, request.attempts, again, where, str(error), request.recorded)
