"""A model that is loaded on lanes: how it got there, how it is made ready there, and what is measured of it there."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from webinfer.core.capabilities import Verdict
from webinfer.core.errors import OptionError, PoolClosed
from webinfer.core.lifetime.process_bound import AsyncResource
from webinfer.core.options import Backend
from webinfer.core.placement import Profile
from webinfer.core.progress import ProgressCallback
from webinfer.inference.assembly import ResultAssembly
from webinfer.inference.failover import Failover
from webinfer.inference.probes.audio import chosen_workgroup
from webinfer.inference.probes.batch_check import batching_obstacle
from webinfer.inference.probes.hardware import prove, require
from webinfer.inference.probes.profile import measure
from webinfer.inference.probes.warmup import Warmup
from webinfer.inference.request_builder import Inputs, RequestBuilder
from webinfer.inference.result import Result, RunObserver
from webinfer.inference.route import Choice
from webinfer.inference.sessions import ModelSessions, join_loads
from webinfer.models.files.package import ModelPackage
from webinfer.pool.events import SessionLoaded
from webinfer.pool.plan.batching import Batching
from webinfer.pool.pool import Pool
from webinfer.tuning.tuner import Terms, TuningProgress
from webinfer.tuning.tuning import Tuning

log = logging.getLogger("webinfer.model")


class LoadedModel(AsyncResource):
    """A model on lanes, apart from running requests; see ``AsyncModel``.

    Args:
        pool: The pool.
        package: The model.
        choice: Where it runs, and why.
        sessions: Its sessions on lanes, or those of its stages.
        observer: Is told of its runs.
        forget: Called with the model when it is closed.
    """

    def __init__(
        self,
        pool: Pool,
        package: ModelPackage,
        choice: Choice,
        sessions: ModelSessions,
        observer: RunObserver,
        forget: Callable[[Any], None],
    ) -> None:
        self.package = package
        self.backend: Backend = choice.backend
        self.precision = package.precision
        self.loaded: SessionLoaded | None = None
        self._pool = pool
        self._forget = forget
        self._closed = False
        workgroup = chosen_workgroup(choice, is_wanted=pool.options.audio_shaders)
        browsers = choice.route.names if choice.route else ()
        requests = RequestBuilder(pool, package, choice.backend, browsers, sessions, workgroup)
        self._warmup = Warmup(pool, package, requests.build_warm, requests.padding.note_warm)
        # Its parts, with which the gate, pipelines and decoders work:
        self.choice = choice  # which backend and browsers were asked for and chosen, and why
        self.sessions = sessions  # on lanes, or those of its stages
        self.requests = requests  # makes requests of inputs
        # makes results of answers
        self.results = ResultAssembly(pool, package, choice, requests, sessions, self._warmup)
        self.observer = observer  # is told of runs
        self.tuner: Callable[[Terms], Awaitable[Tuning]] | None = None  # runs the contest of ``tune``
        self.failover: Failover[LoadedModel] = Failover()  # says when another backend is tried

    def __repr__(self) -> str:
        state = "closed" if self._closed else "loaded" if self.loaded else "new"
        return f"<{type(self).__name__} {self.package.name} {self.precision} on {self.backend} {state}>"

    @property
    def name(self) -> str:
        """The model's name."""
        return self.package.name

    async def load(self, progress: ProgressCallback | None = None) -> SessionLoaded:
        """Have the model's session created, unless it is.

        WebNN takes fixed shapes, so there the session is created for the smallest shape. Others follow when requests
        of their shape come. ``AsyncAccelerator.load`` has called this already.

        Args:
            progress: Called with the bytes fetched so far.

        Returns:
            The times, in seconds, and the size, in bytes, of the first loading.

        Raises:
            PoolClosed: The model or its accelerator was closed.
            OperatorFallback: Nodes went to another backend, and ``require`` forbids that.
            SoftwareAdapter: It does not run in hardware, and the option ``require_hardware`` is on.
            WebinferError: As the runtime or the pool reported it.
        """
        self._check_open()
        if self.loaded is None:
            bucket = self.requests.smallest()
            for is_loaded in self.sessions.loaded(bucket):
                self.observer.hit(is_loaded)
            loads = await self.sessions.load(bucket, progress)
            for event in loads:
                await require(self._pool, self.name, self.choice, event)
            self.loaded = join_loads(loads)
        return self.loaded

    @property
    def max_batch_size(self) -> int:
        """The most requests that run together in one run; 1 where each runs alone. See ``set_max_batch_size``."""
        batching = self.requests.batching
        return batching.limit if batching else 1

    async def set_max_batch_size(self, size: int) -> str | None:
        """Have requests that wait at the same time run together, in one run of the model.

        Only requests of one row and of the same shapes do. Two different requests are tried out in the browser now.
        They must get the same answers in a batch as alone, or requests go on to run alone. Each request still has its
        own result and its own error. WebNN has a session for each shape, so there every batch is full, and its size is
        a power of two.

        Args:
            size: Requests in a batch at most; 1 runs each one alone.

        Returns:
            ``None`` where requests run together from now on, or ``size`` is 1; else why they still run alone.

        Raises:
            OptionError: ``size`` is below 1.
            PoolClosed: The model or its accelerator was closed.
        """
        if size < 1:
            raise OptionError(f"max_batch_size must be 1 or more, not {size!r}.", option="max_batch_size")
        self._check_open()
        if size > 1 and not self.sessions.whole:
            return "the model runs in stages"
        options, self.requests.batching = self._pool.options, None
        if size == 1:
            return None
        alike: Backend = "webnn" if self.sessions.capture.open else self.backend  # one shape each, as recorded ones
        batching = Batching.on(alike, size, options.max_batch_wait)
        reason = await batching_obstacle(self.package, batching, options.lane_capacity_mb, self._run_internal)
        if reason is not None:
            log.warning("requests of %s run one by one: %s", self.name, reason)
        elif batching.limit > 1:
            self.requests.batching = batching
        return reason

    async def warm_up(self, lengths: Sequence[int] | None = None) -> int:
        """Run the model once in each shape expected, on every lane that is free.

        The first run of a shape takes longer: WebGPU compiles shaders, and WebNN creates a session. After this no
        request of such a shape waits for that. A model in stages stays cold.

        Args:
            lengths: Tokens of a sequence, one number for each shape expected, for a model that takes text; ``None``
                takes the option ``warm_up_lengths``. Other models are run once. Models for recordings of any length
                are not run.

        Returns:
            How many pairs of a lane and a shape are warm; results of theirs say so in ``warmed``.

        Raises:
            PoolClosed: The model or its accelerator was closed.
        """
        self._check_open()
        if not self.sessions.whole:  # what passes between stages is not known before a request comes
            return 0
        return await self._warmup.spread(self._pool.options.warm_up_lengths if lengths is None else lengths)

    async def prove_hardware(self) -> Verdict:
        """Time the GPU adapter that runs the model, and return the verdict with the figures in its evidence.

        It takes about a second, once in the browser's life. A backend other than WebGPU is not timed.

        Returns:
            Whether hardware computes. Results say the same in ``verdict`` from then on.

        Raises:
            WebinferError: As ``load``.
        """
        return await prove(self._pool, (await self.load()).lane, self.backend, always=True)

    async def profile(self, inputs: Inputs, *, runs: int = 3) -> Profile:
        """Measure where a run's time goes in the browser, and in which operators, in sessions made for that.

        Args:
            inputs: As ``run`` takes them.
            runs: Runs that count; slow ones are fewer.

        Returns:
            Seconds of each part of a run and of each operator.

        Raises:
            BackendUnavailable: The model runs in stages.
            WebinferError: As ``run`` and ``load``.
        """
        request, bucket = self.requests.build(await self.requests.read(inputs))
        await self.requests.settle(request, bucket)
        recipe = self.sessions.recipe(request.key)
        return await measure(self._pool, (await self.load()).lane, recipe, request.tensors, runs)

    async def tune(
        self,
        budget: float = 60.0,
        *,
        browsers: Sequence[str] | None = None,
        platforms: Sequence[Backend] | None = None,
        precisions: Sequence[str] | None = None,
        lanes: Sequence[int] | None = None,
        threads: Sequence[int | None] | None = None,
        batch_sizes: Sequence[int] | None = None,
        inputs: Inputs | None = None,
        progress: Callable[[TuningProgress], None] | None = None,
    ) -> Tuning:
        """Find out which browser, backend, precision and settings run this model fastest here, and remember it.

        Every combination of what is allowed is a candidate, in a browser of its own. Candidates take turns; slower
        ones leave, until the last two are told apart or the budget ends. Each must answer as native onnxruntime does.
        The winner is kept by machine, model and browser version, and ``platform="auto"`` takes it from then on.

        This model stays where it is: load it again to have the winner. Tune while nothing else is going on; requests
        that run meanwhile slow all candidates down.

        Args:
            budget: Seconds for the contest. The round under way may end after it. Files that must be fetched or made
                first come on top.
            browsers: Names among the accelerator's browsers; ``None`` takes all of them.
            platforms: Backends; ``None`` takes the one that the model was loaded for, or all if that was ``auto``.
            precisions: Precisions as ``load`` takes them; ``None`` takes those that the model was loaded with.
            lanes: Numbers of lanes; ``None`` takes the option ``lanes``.
            threads: WebAssembly threads of a lane; ``None`` takes the option ``threads``.
            batch_sizes: Requests that run together at most; ``None`` takes the option ``max_batch_size``.
            inputs: A typical request, as ``run`` takes it; ``None`` makes one up, with texts of 128 tokens. Where lanes
                or batches compete, as many such requests run at once as the largest candidate takes.
            progress: Called with how far the contest is.

        Returns:
            The winner, by how much it won, and how every candidate did.

        Raises:
            OptionError: The budget is not above 0, or a name or number cannot be.
            InputError: The inputs do not fit the model's signature.
            TuningFailed: No candidate could be measured; the error says why for each.
            ModelError: The model cannot be fetched any more.
            PoolClosed: The model or its accelerator was closed.
        """
        self._check_open()
        if self.tuner is None:
            raise OptionError(f"{self.name} is a stage of another model: tune that one.", option="model")
        terms = Terms(
            budget=budget,
            browsers=browsers,
            platforms=platforms,
            precisions=precisions,
            lanes=lanes,
            threads=threads,
            batch_sizes=batch_sizes,
            inputs=inputs,
            progress=progress,
        )
        return await self.tuner(terms)

    def _become(self, other: LoadedModel) -> None:
        """Take over everything that the same model has on another backend, and release what this one has.

        Args:
            other: The same model on another backend. It must not be closed: its sessions are this model's now.
        """
        released = self.sessions
        self.choice, self.backend, self.loaded = other.choice, other.backend, other.loaded
        self.sessions, self.requests, self.results = other.sessions, other.requests, other.results
        self._warmup = other._warmup
        self.failover.substitute = None  # there is no third backend
        self._forget(other)
        released.close()

    async def close(self) -> None:
        """Release the model on every lane. Later runs raise ``PoolClosed``."""
        if not self._closed:
            self._closed = True
            self._forget(self)
            self.results.checks.close()
            self.sessions.close()

    async def _run_internal(self, tensors: Mapping[str, NDArray[Any]]) -> Result:
        return await self.results.complete(*self.requests.build_internal(tensors))

    def _check_open(self) -> None:
        if self._closed:
            raise PoolClosed(f"{self.name} was closed: load it again.")
