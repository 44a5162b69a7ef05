"""A model that finds out where it runs best: now and then a request goes to another browser or backend, and is timed.

``policy.learning`` decides; this loads, checks, times and switches. A place must first give the answers that the model
gives where it is served. Whatever fails elsewhere is run again there, so that no caller gets an error for a trial.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from numpy.typing import NDArray

from webinfer.browsers.lane import Residents
from webinfer.core.background import Tasks
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import InputError, PoolClosed, WebinferError
from webinfer.core.options import Backend
from webinfer.core.progress import ProgressCallback
from webinfer.core.tensors import prepare
from webinfer.deployment.prepare import Delivery
from webinfer.inference.batch_check import HALF_TOLERANCE, TOLERANCE, apart
from webinfer.inference.model import AsyncModel, Inputs
from webinfer.inference.result import Result
from webinfer.inference.route import Choice
from webinfer.models.files.package import ModelPackage
from webinfer.pool.events import SessionLoaded
from webinfer.pool.learning.bandit import Arm, Learning, Record
from webinfer.pool.learning.decision import Decision, Source
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.buckets import Fit
from webinfer.pool.pool import Pool
from webinfer.pool.requests.request import Request
from webinfer.telemetry.database.history import History
from webinfer.telemetry.recorder import Recorder

log = logging.getLogger("webinfer.learned")

Make = Callable[[Arm], Awaitable[AsyncModel]]
Judge = Callable[[AsyncModel], Awaitable[str | None]]
Arrays = Mapping[str, NDArray[Any]]

QUANTIZED_TOLERANCE = 5e-2
"""Largest difference between two backends' answers of a model in 8 bits or fewer, as a part of an output's largest
value: a rounding that falls to the other side is a step of 4e-3, and layers add up."""

_REHEARSALS = 3  # runs of a newly loaded place before a caller's request goes there: the first ones are slow
_LOWEST = -(10**9)  # rehearsals go behind every request
_SOURCES: tuple[Source, Source] = ("table", "learned")  # by whether anything was learned
_TRIAL = (5.0, 20.0)  # a trial may take so many seconds, or so many times what is usual, before it is given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """What may be tried of a model, and how.

    Attributes:
        learning: What is known of its arms; the serving one is where it is loaded first.
        browsers: Browsers to choose from, the one that the table prefers first.
        backend: The one that the caller asked for; ``None`` where any will do.
        precisions: Those that the caller allows.
        variant: Finds or makes the model in a precision.
        judge: Holds a loaded model against native onnxruntime; returns what is wrong, if anything.
    """

    learning: Learning
    browsers: Sequence[str]
    backend: Backend | None
    precisions: Sequence[str]
    variant: Callable[[str], Awaitable[ModelPackage]]
    judge: Judge


class LearnedModel(AsyncModel):
    """A model on several arms, of which one serves.

    Args:
        pool: The pool.
        package: The model.
        delivery: How it is delivered where it is loaded first.
        choice: Where it is loaded first.
        recorder: Told of every result.
        forget: Called when it is closed.
        trials: What may be tried.
        identity: Hash of the model in the precision that the caller named first.
        history: Keeps what is learned.
        make: Makes the model for another arm.
    """

    def __init__(
        self,
        pool: Pool,
        package: ModelPackage,
        delivery: Delivery,
        choice: Choice,
        recorder: Recorder,
        forget: Callable[[AsyncModel], None],
        *,
        trials: Trials,
        identity: str,
        history: History,
        make: Make,
    ) -> None:
        super().__init__(pool, package, delivery, choice, recorder, forget)
        self.learning = learning = trials.learning
        self._why = learning.explain(learning.serving) if choice.by == "learned" else ""
        self._keep: dict[str, int] = {}  # lanes that a browser is left with when nothing is tried there any more
        self._models = {learning.serving: AsyncModel(pool, package, delivery, choice, recorder, lambda _: None)}
        self.serving._accuracies = self._accuracies  # which is told to this model, and told by that one's results
        self._history = history
        self._make = make
        self._allowed = trials
        self._identity = identity
        self._flying: WeakKeyDictionary[Request, Arm] = WeakKeyDictionary()
        self._trials: WeakKeyDictionary[Request, Callable[[], tuple[Request, Fit]]] = WeakKeyDictionary()
        self._samples: WeakKeyDictionary[Request, Arrays] = WeakKeyDictionary()
        self._wanted: asyncio.Future[tuple[Arrays, Arrays]] | None = None  # a request and its answer, to rehearse with
        self._searching = False
        self._tasks = Tasks()

    @property
    def serving(self) -> AsyncModel:
        """The model on the arm that serves."""
        return self._models[self.learning.serving]

    async def load(self, progress: ProgressCallback | None = None) -> SessionLoaded:
        """Have the model's session created where it is served; see ``AsyncModel.load``."""
        if self.loaded is None:
            self.loaded = await self.serving.load(progress)
            self.learning.loaded(self.learning.serving, self.loaded.seconds)
            self.learning.ready.add(self.learning.serving)
            self.learning.arms = self._arms()
        return self.loaded

    @property
    def max_batch_size(self) -> int:
        """Requests that run together at most; see ``set_max_batch_size``."""
        return self.serving.max_batch_size

    async def set_max_batch_size(self, size: int) -> str | None:
        """Have requests run together where the model is served; nothing is tried elsewhere meanwhile."""
        return await self.serving.set_max_batch_size(size)

    async def warm_up(self, lengths: Sequence[int] | None = None) -> int:
        """Run the model once in each shape expected, where it is served; see ``AsyncModel.warm_up``."""
        return await self.serving.warm_up(lengths)

    async def rest(self) -> None:
        """Look for nothing better any more."""
        await self._tasks.close()

    async def close(self) -> None:
        """Release the model everywhere, and keep what was learned. Later runs raise ``PoolClosed``."""
        if not self._closed:
            await self.rest()
            await asyncio.gather(*(model.close() for model in self._models.values()))
            await super().close()
            await asyncio.to_thread(self._history.flush)

    def _make_request(
        self, inputs: Inputs, outputs: Sequence[str] | None, timeout: float | None, priority: int
    ) -> tuple[Request, Fit]:
        def ask(arm: Arm) -> tuple[Request, Fit]:
            request, how = self._models[arm]._make_request(inputs, outputs, timeout, priority)
            self._flying[request] = arm
            return request, how

        arm = self.learning.pick(random.random(), timeout is None and self.max_batch_size == 1)
        request, how = ask(arm)
        if arm != self.learning.serving:
            self._trials[request] = lambda: ask(self.learning.serving)
            request.timeout = self._patience(request.timeout)
        elif self._wanted is not None and outputs is None:
            tensors = prepare(self.package.signature, self._reader.text(inputs))
            self._samples[request] = {name: array.copy() for name, array in tensors.items()}
        return request, how

    async def _complete(self, request: Request, how: Fit) -> Result:
        arm = self._flying[request]
        try:
            result = await self._models[arm]._complete(request, how)
        except (PoolClosed, InputError):
            raise
        except WebinferError as error:
            if request not in self._trials:
                raise
            self._bar(arm, str(error))
            return await self._complete(*self._trials[request]())
        finally:
            self._flying.pop(request, None)
        arm = arm._replace(browser=result.browser)  # where it really ran
        self._tell(result, arm, request in self._trials)
        self._observe(result, arm)
        self._give_sample(request, result)
        self._search()
        return result

    def _tell(self, result: Result, arm: Arm, trial: bool) -> None:
        """Have a result say who chose its place, why, and what else there was."""
        learning, source = self.learning, _SOURCES[bool(self._why)]
        if trial:
            result.chosen_by, result.routing = "trial", f"a trial of {arm}, beside {learning.serving}"
        elif self._why:
            result.chosen_by, result.routing = "learned", self._why
        else:
            result.chosen_by = "table"
        result.decision = Decision(
            taken=arm,
            source="explored" if trial else source,
            reason=result.routing or (result.decision.reason if result.decision else ""),
            serving=learning.serving if trial else None,
            arms=tuple(learning.arms),
            records=dict(learning.records),
            barred=dict(learning.barred),
            tried=frozenset(learning.tried),
            lanes=result.decision.lanes if result.decision else None,
        )

    def _open(self, how: Fit) -> SessionKey:
        return self.serving._open(how)

    async def _run_resident(
        self, tensors: Arrays, outputs: Sequence[str], residents: Residents, lane: str | None
    ) -> Result:
        return await self.serving._run_resident(tensors, outputs, residents, lane)

    def _patience(self, timeout: float | None) -> float:
        """Return how long a trial may take: a place that hangs must not keep its caller."""
        least, times = _TRIAL
        limit = max(least, times * self.learning.records.get(self.learning.serving, Record()).seconds)
        return limit if timeout is None else min(limit, timeout)

    def _observe(self, result: Result, arm: Arm) -> None:
        """Take in how long a run took: in the runtime and on the way, but not behind others."""
        if result.attempts > 1 or result.batch > 1:
            return
        before = self.learning.serving
        switched = self.learning.observe(arm, result.times.run + result.times.transfer, result.engine_version)
        self._history.note(self._identity, arm, self.learning.records[arm])
        if switched:
            self.backend, self.precision = self.serving.backend, self.serving.precision
            self.package = self.serving.package
            self._why = self.learning.explain(self.learning.serving)
            log.info("%s goes from %s to %s: %s", self.name, before, self.learning.serving, self._why)
            self._tasks.spawn(asyncio.to_thread(self._history.flush))
            about = self.package.sha256, arm, result.engine_version
            self._tasks.spawn(self._pool.recall_lanes(self._history.scaling, *about))
        if len(self._models) > 1:
            wanted = {self.learning.serving, *self.learning.promising(), *self._flying.values()}
            for spent in self._models.keys() - wanted:
                self.learning.ready.discard(spent)  # at once: the next request may come before it is closed
                self._tasks.spawn(self._release(spent, self._models.pop(spent)))

    async def _release(self, arm: Arm, model: AsyncModel) -> None:
        """Give back what an arm took that promises nothing any more."""
        log.info("%s is not on %s any more: %s", self.name, arm, self.learning.explain(self.learning.serving))
        await model.close()
        self._pool.shed_lanes(arm.browser, self._lanes(arm.browser), "Nothing is tried there any more.")

    def _lanes(self, browser: str) -> int:
        return self._keep.get(browser, self._pool.options.lanes)

    def _give_sample(self, request: Request, result: Result) -> None:
        """Let a rehearsal have a request and its answer, copied: they are the caller's."""
        tensors = self._samples.pop(request, None)
        if tensors is not None and self._wanted is not None and not self._wanted.done():
            self._wanted.set_result((tensors, {name: array.copy() for name, array in result.outputs.items()}))

    def _search(self) -> None:
        """Have another arm made ready, if one is worth it and none is on its way."""
        if self._searching or self._closed or self.max_batch_size > 1:
            return
        arm = self.learning.wanted()
        if arm is not None:
            self._searching = True
            self._tasks.spawn(self._make_ready(arm))

    async def _make_ready(self, arm: Arm) -> None:
        began = time.perf_counter()
        try:
            model = await self._make(arm)
            try:
                if not await self._pool.add_lane(arm.browser):  # one of its own, where nobody has to wait for the load
                    self._keep.setdefault(arm.browser, 0)
                await self._rehearse(arm, model)
            except BaseException:
                await self._release(arm, model)
                raise
            self._models[arm] = model
            self.learning.ready.add(arm)
        except PoolClosed:
            pass
        except WebinferError as error:
            self._bar(arm, str(error))
        finally:
            self.learning.invested += time.perf_counter() - began
            self._searching, self._wanted = False, None
            self.learning.arms = self._arms()

    async def _rehearse(self, arm: Arm, model: AsyncModel) -> None:
        """Load a model on an arm, warm it up with a request that was answered already, and compare the answers.

        Raises:
            WebinferError: It fails there, or answers something else.
        """
        loaded = await model.load()
        self.learning.loaded(arm, loaded.seconds)
        self._wanted = asyncio.get_running_loop().create_future()
        tensors, expected = await self._wanted
        results = [await model._try(tensors, _LOWEST) for _ in range(_REHEARSALS)]
        last = results[-1]
        if last.browser != arm.browser:
            raise WebinferError(f"it runs in {last.browser} instead")
        if why := self._disagreement(arm, expected, last.outputs) or await self._allowed.judge(model):
            raise WebinferError(why)
        best = min(result.times.run + result.times.transfer for result in results)
        self.learning.observe(arm, best, last.engine_version)
        self._history.note(self._identity, arm, self.learning.records[arm])

    def _disagreement(self, arm: Arm, expected: Arrays, outputs: Arrays) -> str | None:
        """Compare answers, where they should be the same: another precision is held against its own reference."""
        same = arm.precision == self.learning.serving.precision
        return disagreement(expected, outputs, arm.precision) if same else None

    def _bar(self, arm: Arm, why: str) -> None:
        if arm not in self.learning.barred:
            log.info("%s is not tried on %s any more: %s", self.name, arm, why)
            self.learning.bar(arm, why)

    def _arms(self) -> list[Arm]:
        """Name every place that is known to be there: of a browser that has not run yet, WebAssembly."""
        running = {browser.installation.name: browser.capabilities for browser in self._pool.browsers.values()}
        arms, own = [], self.learning.serving.precision
        for precision in dict.fromkeys((own, *self._allowed.precisions)):
            for name in self._allowed.browsers:
                arms += [Arm(name, backend, precision) for backend in self._able(running.get(name))]
        return list(dict.fromkeys([*arms, *(arm for arm in self.learning.records if arm.browser not in running)]))

    def _able(self, seen: Capabilities | None) -> list[Backend]:
        """Name the backends of a browser that are worth trying."""
        able: Sequence[Backend] = ("wasm",) if seen is None else seen.backends
        wanted = self._allowed.backend
        if wanted is not None:
            return [wanted] if wanted in able else []
        slow = seen is not None and seen.verdict("webgpu").kind == "software"  # slower than any other, by far
        return [backend for backend in able if not (slow and backend == "webgpu")]


def disagreement(expected: Arrays, outputs: Arrays, precision: str) -> str | None:
    """Return how the answers of two places differ by more than rounding; ``None`` where they do not."""
    part = TOLERANCE if precision == "fp32" else HALF_TOLERANCE if precision == "fp16" else QUANTIZED_TOLERANCE
    for name, own in expected.items():
        if why := apart(own, outputs[name], part):
            return f"output {name!r} {why} from what it is where the model is served"
    return None
