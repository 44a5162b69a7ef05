"""From what a caller asks for to a model that is loaded: its files, its place, its session, the correctness gate."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from webinfer.accuracy.bounded.runs import NativeRuns
from webinfer.api.admission.forecast import forecast, reason, warnings
from webinfer.api.admission.gate import Freedom, Gate, lanes_for, lanes_of
from webinfer.api.admission.later_engines import LaterEngines
from webinfer.api.admission.substitute import WasmSubstitute, known_failure, note_death
from webinfer.api.lifecycle import Lifecycle
from webinfer.api.order import Order
from webinfer.api.router import Router, Wish, avoid_fixed_shapes, precision_obstacle
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import (
    AccuracyError,
    BackendUnavailable,
    LoadFailed,
    LostError,
    ModelError,
    RuntimeDied,
    UnsupportedOperator,
)
from webinfer.core.lifetime.worker_process import Job, in_thread
from webinfer.core.options import DEFAULT_BATCH_SIZE, DEFAULT_LANES
from webinfer.core.progress import ProgressCallback
from webinfer.deployment.prepare import deliver
from webinfer.deployment.sharding import split
from webinfer.inference.model import AsyncModel
from webinfer.inference.route import Choice
from webinfer.inference.sessions import ModelSessions, Sessions, StagedSessions
from webinfer.models.files.package import ModelPackage
from webinfer.models.sources.resolve import resolve
from webinfer.pool.pool import Pool
from webinfer.quantization import SCHEMES, obtain

log = logging.getLogger("webinfer")


class ModelLoader:
    """Loads models.

    Args:
        lifecycle: Starts the pool, and knows the options as they are now.

    Attributes:
        models: The models that are open.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self.models: set[AsyncModel] = set()
        self._lifecycle = lifecycle
        self._router = Router(lifecycle.options, lifecycle.tunings)
        self._native = NativeRuns(lifecycle.options.load_timeout)

    def __repr__(self) -> str:
        return f"<ModelLoader models={len(self.models)}>"

    def holders(self, pool: Pool) -> dict[str, set[str]]:
        """Return the ids of the browsers that hold each loaded model, or any stage of it, by its hash.

        Args:
            pool: The pool, whose lanes hold them.
        """
        holders = pool.holders()
        for model in self.models:
            if not model.sessions.whole:
                stages = (holders.get(stage, set()) for stage in model.sessions.hashes)
                holders[model.package.sha256] = set().union(*stages)
        return holders

    async def load(self, order: Order) -> AsyncModel:
        """Load a model. If its precision cannot be loaded and the order allows it, load it in the next one.

        Args:
            order: What the caller asks for.

        Returns:
            The model, loaded, judged by the gate, and warmed up if the options ask for that.

        Raises:
            BackendUnavailable: The browser cannot run that precision on the backend.
            UnsupportedOperator: The backend lacks an operator of the model.
            LoadFailed: The runtime refused the model.
            LostError: Its lane was lost while it loaded, on every attempt.
            AccuracyError: Its answers are wrong, and nothing may replace it.
            WebinferError: Any other error of ``AsyncAccelerator.load``.
        """
        package, pool = await asyncio.gather(self._find(order), self._start())
        choice, capabilities = await self._choose(pool, package, order)
        candidate = choice.standing.candidate if choice.standing is not None else None
        if candidate is not None and candidate.precision != package.precision:
            order = order.beginning_with(candidate.precision, package)
            package = await find_package(order)
        options = self._lifecycle.options
        # Numbers of lanes that the caller set win over those of the contest.
        if candidate is not None and options.lanes == DEFAULT_LANES and options.min_lanes is None:
            await pool.resize(candidate.browser, candidate.lanes, candidate.threads)
        why, other = precision_obstacle(package, choice.backend, capabilities), order.instead(package)
        if why and other:
            return await self._load_instead(order, other, f"{why}, so {other} was taken")
        if why and choice.asked == "auto" and choice.backend != "wasm":  # WebAssembly runs every precision
            choice, why = choice.elsewhere("wasm").because(f"{why}, so wasm was taken"), None
        if why and order.precision:
            raise BackendUnavailable(
                f"{why}: take another platform or precision, or allow a fallback.", backend=choice.backend
            )
        self._lifecycle.recorder.model(package)
        try:
            loaded = await self._load_somewhere(pool, package, choice, order)
        except (LoadFailed, UnsupportedOperator, LostError) as error:
            if other is None:
                raise
            why = f"{package.precision} could not be loaded on {choice.backend} ({error}), so {other} was taken"
            return await self._load_instead(order, other, why)
        try:
            model = await self._admit(pool, loaded, order)
        except AccuracyError as error:
            # Wrong answers are the gate's to replace, by the option accuracy. Only a list of precisions allows more.
            if other is None or not order.others:
                raise
            return await self._load_instead(order, other, str(error))
        if model.sessions.whole and model.backend != "wasm" and _freedom(order, model.choice).backend:
            model.failover.substitute = WasmSubstitute(model, partial(self._load_substitute, pool, package, order))
        # The contest's batch size holds for the model that it measured, not for one that the gate put in its place.
        return await self._prepare(model, candidate.batch_size if candidate is not None and model is loaded else 1)

    def close(self) -> None:
        """Give up what runs natively for loads under way, and forget the models."""
        self._native.close()
        self.models.clear()

    async def _find(self, order: Order) -> ModelPackage:
        """Return the model. If its answers will be compared, what runs natively for that begins now.

        That takes as long as a browser's start. Of several precisions nobody knows yet which one is loaded.
        """
        package = await find_package(order)
        if self._lifecycle.options.accuracy != "off" and not order.others:
            self._native.expect(package)
        return package

    async def _start(self) -> Pool:
        """Return the pool, with a browser started. Of several browsers none is: the model's family decides which."""
        pool = await self._lifecycle.open()
        if not self._lifecycle.options.browsers:
            await pool.ensure()
        return pool

    async def _choose(self, pool: Pool, package: ModelPackage, order: Order) -> tuple[Choice, Capabilities]:
        """Return where a model is loaded, and what the browser there can do."""
        options = self._lifecycle.options
        asked = order.platform or options.platform
        wish = Wish(asked, (package.precision, *order.others), order.fallback)
        choice, capabilities = await self._router.choose(pool, package, wish)
        choice = avoid_fixed_shapes(replace(choice, require=order.require or options.require), package, order.varying)
        return choice.because(order.lost), capabilities

    async def _load_instead(self, order: Order, precision: str, why: str) -> AsyncModel:
        log.info("%s: %s", order.reference, why)
        return await self.load(order.lowered(precision, why))

    async def _load_somewhere(self, pool: Pool, package: ModelPackage, choice: Choice, order: Order) -> AsyncModel:
        """Return a model, loaded. If ``auto`` chose a backend that cannot load it, WebAssembly takes its place.

        Raises:
            LoadFailed: The runtime refused the model.
            UnsupportedOperator: The backend lacks an operator of the model.
            LostError: Its lane was lost while it loaded, on every attempt.
        """
        try:
            return await self._load_there(pool, package, choice, order, order.progress)
        except (LoadFailed, UnsupportedOperator, LostError) as error:
            if choice.asked != "auto" or choice.backend == "wasm":
                raise
            why = f"{choice.backend} could not load it ({error.summary}), so wasm was taken"
            log.info("%s: %s", package.name, why)
            return await self._load_there(pool, package, choice.elsewhere("wasm", why), order, order.progress)

    async def _load_there(
        self,
        pool: Pool,
        package: ModelPackage,
        choice: Choice,
        order: Order,
        progress: ProgressCallback | None = None,
    ) -> AsyncModel:
        """Return a model, loaded unless the cache says that its answers are wrong: the gate replaces it then.

        Raises:
            RuntimeDied: The runtime died while it loaded. The cache stores that.
        """
        model = await self._build(pool, package, choice)
        if why := await _obstacle(pool, model):
            await model.close()
            log.info("%s: %s, so wasm was taken", package.name, why)
            model = await self._build(pool, package, choice.elsewhere("wasm", f"{why}, so wasm was taken"))
        self.models.add(model)
        lanes = lanes_of(pool, model)
        try:
            gate = self._gate(pool)
            await gate.recall_capture(model)
            if not await gate.bars(model, _freedom(order, model.choice)):
                await gate.prepare(model)
                await model.load(progress)
        except RuntimeDied as error:
            if lanes:
                await note_death(model, lanes[0], error)
            await model.close()
            raise
        except BaseException:
            await model.close()
            raise
        return model

    async def _build(self, pool: Pool, package: ModelPackage, choice: Choice) -> AsyncModel:
        """Return a model with its graph ready for the backend; in stages if it is too large for a lane."""
        options = self._lifecycle.options
        capacity = options.lane_capacity_mb
        sessions: ModelSessions
        if options.shard_models and capacity and package.nbytes > capacity * 1e6:
            count = math.ceil(package.nbytes / (capacity * 1e6))
            stages = await self._native.do(package, lambda job: split(package, choice.backend, count, job))
            sessions = StagedSessions(pool, package, stages, choice)
        else:
            settings = {"optimize": options.optimize_graphs, "integers": options.integer_matmul}
            delivery = await self._native.do(package, lambda job: deliver(package, choice.backend, job=job, **settings))
            if choice.asked != "auto":
                findings = await forecast(delivery.model, lanes_for(pool, choice), choice.backend)
                delivery = replace(delivery, notes=(*delivery.notes, *warnings(package.name, findings)))
            if delivery.rounded:
                package = replace(package, precision="int8")
            sessions = Sessions(pool, package, delivery, choice)
        return AsyncModel(pool, package, choice, sessions, self._lifecycle.recorder, self.models.discard)

    async def _admit(self, pool: Pool, model: AsyncModel, order: Order) -> AsyncModel:
        """Return a model after the gate has judged it, or its replacement."""

        async def make(package: ModelPackage, choice: Choice) -> AsyncModel:
            return await self._load_there(pool, package, choice, order)

        options, freedom = self._lifecycle.options, _freedom(order, model.choice)
        admitted = await self._gate(pool).admit(model, make, lambda: _finer(order, model.package), freedom)
        if options.accuracy != "off":
            admitted.results.checks.judge = LaterEngines(pool, admitted, self._native, options, freedom)
        return admitted

    async def _load_substitute(self, pool: Pool, package: ModelPackage, order: Order, choice: Choice) -> AsyncModel:
        """Return a model that takes another one's place, judged by the gate."""
        return await self._admit(pool, await self._load_there(pool, package, choice, order), order)

    def _gate(self, pool: Pool) -> Gate:
        return Gate(pool, self._lifecycle.options, self._native)

    async def _prepare(self, model: AsyncModel, batch_size: int) -> AsyncModel:
        """Return a loaded model, warmed up and batched as the options ask; ``batch_size`` is the default."""
        options = self._lifecycle.options
        try:
            if options.warm_up:
                await model.warm_up()
            size = batch_size if options.max_batch_size == DEFAULT_BATCH_SIZE else options.max_batch_size
            if size > 1:
                await model.set_max_batch_size(size)
        except BaseException:
            await model.close()
            raise
        return model


async def find_package(order: Order) -> ModelPackage:
    """Return a model in a precision, found or quantized in a thread. Cancelling the wait stops the quantization too.

    Args:
        order: What the caller asks for.

    Raises:
        ModelError: The model cannot be found, fetched, read or quantized.
        CancelledError: The wait was cancelled.
    """
    reference, precision, part, progress = order.reference, order.precision, order.part, order.progress
    if precision not in SCHEMES:  # it cannot be made, only found
        return await asyncio.to_thread(resolve, reference, precision=precision, part=part, progress=progress)
    job = Job()
    return await in_thread(job, lambda: obtain(reference, precision=precision, part=part, progress=progress, job=job))


async def _obstacle(pool: Pool, model: AsyncModel) -> str | None:
    """Return why ``auto`` passes over a model's backend before it is loaded there; ``None`` where it does not."""
    choice = model.choice
    if choice.asked != "auto" or choice.backend == "wasm":
        return None
    if why := await known_failure(pool, model):
        return f"{why} before"
    if not model.sessions.whole or choice.by == "tuned":  # a contest held its answers against native onnxruntime's
        return None
    findings = await forecast(model.sessions.delivery.model, lanes_of(pool, model), choice.backend)
    return reason(findings) if findings else None


def _freedom(order: Order, choice: Choice) -> Freedom:
    """Return what the caller left open."""
    is_open = order.fallback or choice.by != "caller"
    return Freedom(backend=is_open, finer=order.fallback, listed=bool(order.others))


async def _finer(order: Order, package: ModelPackage) -> AsyncIterator[ModelPackage]:
    """Yield a model in the precisions that may replace its own; see ``Order.finer``."""
    for precision in order.finer(package):
        try:
            replacement = await find_package(replace(order, precision=precision))
        except ModelError:
            continue  # the model has no such precision, and cannot be quantized to it
        if replacement.sha256 != package.sha256:
            yield replacement
