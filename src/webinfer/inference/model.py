"""A loaded model, asynchronously."""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from webinfer.accuracy.record import Accuracy
from webinfer.browsers.lane import Residents
from webinfer.core.errors import EmptyBatch, HandleLost, NotANumber, OptionError, PoolClosed, WebinferError
from webinfer.core.options import Backend
from webinfer.core.placement import refuse_fallback
from webinfer.core.profile import Profile
from webinfer.core.progress import Progress, ProgressCallback
from webinfer.core.tensors import prepare, refuse_unknown
from webinfer.core.validation import seconds
from webinfer.deployment.prepare import Delivery
from webinfer.inference.batch_check import bar
from webinfer.inference.embedding import embed
from webinfer.inference.observer import RunObserver
from webinfer.inference.probes.audio import AudioInputs
from webinfer.inference.probes.hardware import require_hardware
from webinfer.inference.probes.profile import measure
from webinfer.inference.process_bound import ProcessBound
from webinfer.inference.result import Result, refuse_nan
from webinfer.inference.route import Choice, Routings
from webinfer.inference.sessions import Sessions
from webinfer.inference.warmup import Warmth
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.reader import Reader
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.pool.events import SessionLoaded
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.batching import Batching, Mates, group
from webinfer.pool.plan.buckets import EXACT, Fit, batch_dimension, fit, pad, smallest, trim, with_rows
from webinfer.pool.plan.timeouts import run_timeout
from webinfer.pool.pool import Pool
from webinfer.pool.requests.request import Request
from webinfer.transport.wire import Message

if TYPE_CHECKING:
    from PIL.Image import Image

    from webinfer.models.preprocessing.image_processor import ImageProcessor

log = logging.getLogger("webinfer.model")

Inputs: TypeAlias = "Mapping[str, Any] | NDArray[Any] | Sequence[Any] | str | Path | Image"


class AsyncModel(ProcessBound):
    """A model in a browser. Made by ``AsyncAccelerator.load``.

    Attributes:
        package: Its files, signature, family and tokenizer.
        family: The family, or group of families, whose factor its time limit has.
        backend: Backend that runs it.
        precision: Precision of its weights.
        loaded: Times and size of its first loading.
        ears: Makes features of recordings.
    """

    def __init__(
        self,
        pool: Pool,
        package: ModelPackage,
        delivery: Delivery,
        choice: Choice,
        recorder: RunObserver,
        forget: Callable[[AsyncModel], None],
    ) -> None:
        self.package = package
        self.family: str = package.family
        self.backend: Backend = choice.backend
        self.precision = package.precision
        self.loaded: SessionLoaded | None = None
        self._delivery = delivery
        self._choice = choice
        self._pool = pool
        self._recorder = recorder
        self._forget = forget
        self._sessions = Sessions(pool, package, delivery, choice)
        self._reader = Reader(package)
        self.ears = AudioInputs(pool, choice.backend, self._reader)
        self._routings = Routings(pool, choice, self.precision)
        self._closed = False
        self._accuracies: dict[tuple[str, str, str], Accuracy] = {}  # by engine, its version and the runtime
        self._batched = batch_dimension(package.signature) is not None
        self._batching: Batching | None = None
        self._warmth = Warmth(pool, package, lambda inputs: self._make_request(inputs, None, None, 0))

    def __repr__(self) -> str:
        state = "closed" if self._closed else "loaded" if self.loaded else "new"
        return f"<{type(self).__name__} {self.package.name} {self.precision} on {self.backend} {state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.package.name

    async def load(self, progress: ProgressCallback | None = None) -> SessionLoaded:
        """Have the model's session created, unless it is.

        WebNN takes fixed shapes, so there the session is created for the smallest bucket; others follow when
        requests of their shape come.

        Returns:
            The times and the size of the first loading.

        Raises:
            PoolClosed: The model or its accelerator was closed.
            WebinferError: As the runtime or the pool reported it.
        """
        self._check_open()
        if self.loaded is None:
            reader = self._reader
            how = smallest(self.package.signature, self.backend, reader.image_shape, reader.positions.count)
            key = self._open(how)
            self._recorder.hit(self._pool.holds(key))
            tell = partial(_tell, progress, f"load {self.name}") if progress else None
            loaded = await self._sessions.load(key, tell)
            if self._choice.require == "no-fallback":  # another model may have made the session without asking that
                refuse_fallback(loaded.placement, self.backend)
            if self._pool.options.require_hardware:
                await require_hardware(self._pool, self.name, self.backend, loaded)
            self.loaded = loaded
        return self.loaded

    async def run(
        self,
        inputs: Inputs,
        *,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        priority: int = 0,
    ) -> Result:
        """Run one request.

        Args:
            inputs: Arrays, nested lists or scalars by input name; one bare array where the model has one input; or
                text, where it has a tokenizer. Lists take the declared dtype. A missing batch axis is added.
                ``attention_mask``, ``token_type_ids`` and ``position_ids`` may be left out. A model with
                ``pixel_values`` takes images for it: paths, the bytes of files or PIL images, one or a list, by that
                name or, where it takes no text, bare. One with ``input_values`` or ``input_features`` takes recordings
                likewise: paths, the bytes of files, or ``{"array": samples, "sampling_rate": hertz}``.
            outputs: Names of the outputs wanted; ``None`` for all.
            timeout: Seconds until ``DeadlineExceeded``; ``None`` takes the option ``run_timeout``, scaled by
                ``timeout_factors`` and ``large_timeout_factor``.
            priority: Where requests wait, those of a higher priority go first, whatever their model. Within a
                priority models take turns, and a model's requests keep their order.

        Returns:
            The outputs and what was observed.

        Raises:
            InputError: The inputs do not fit the model's signature.
            NotANumber: An output holds NaN, and the option ``allow_nan`` is off.
            DeadlineExceeded: No answer came in time.
            WebinferError: As the runtime or the pool reported it.
        """
        if self._reader.holds_files(inputs):
            inputs = await self.ears.prepare(inputs)
        request, how = self._request(inputs, outputs, timeout, priority)
        return await self._recorder.take(self, request, self._complete(request, how))

    def submit(
        self,
        inputs: Inputs,
        *,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        priority: int = 0,
    ) -> Future[Result]:
        """Start one request without waiting for it; see ``run``.

        Returns:
            A future of its result, to be awaited here and asked for ``result()`` on the synchronous face. Cancel it to
            give the request up.
        """
        return asyncio.ensure_future(self.run(inputs, outputs=outputs, timeout=timeout, priority=priority))

    async def run_batch(
        self,
        batch: Iterable[Inputs],
        *,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        priority: int = 0,
    ) -> list[Result]:
        """Run many requests, on as many lanes as there are; see ``run``.

        Where no ``timeout`` is given, they share the longest of their own, because they wait for each other.

        Returns:
            Their results, in order.

        Raises:
            EmptyBatch: There are none.
            WebinferError: As ``run``; the first one that occurs, once all have ended.
        """
        batch = [await self.ears.prepare(inputs) for inputs in batch]
        requests = [self._request(inputs, outputs, timeout, priority) for inputs in batch]
        if not requests:
            raise EmptyBatch("The batch is empty: pass at least one request.")
        longest = max((request.timeout for request, _ in requests if request.timeout is not None), default=None)
        for request, _ in requests:
            request.timeout = longest  # they wait for each other
        completed = (self._recorder.take(self, request, self._complete(request, how)) for request, how in requests)
        results = await asyncio.gather(*completed, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if isinstance(result, Result)]

    async def embed(
        self, texts: str | Sequence[str], *, normalized: bool = True, batch_size: int = 32
    ) -> NDArray[np.float32]:
        """Embed sentences: the mean of the last hidden state over each one's tokens.

        Args:
            texts: One sentence or several.
            normalized: Scale each vector to length 1.
            batch_size: Sentences run together at most.

        Returns:
            float32 array of shape (sentences, hidden size).

        Raises:
            TokenizerMissing: The model came without a tokenizer.
            EmptyBatch: There are no sentences.
            DtypeMismatch: They are no texts.
        """
        return await embed(self.run_batch, self._reader, texts, normalized=normalized, batch_size=batch_size)

    @property
    def max_batch_size(self) -> int:
        """Requests that run together at most; see ``set_max_batch_size``."""
        return self._batching.limit if self._batching else 1

    async def set_max_batch_size(self, size: int) -> str | None:
        """Have requests that wait at the same time run together.

        Only requests of one row and of the same shapes do, and only if two different ones get the same answers in a
        batch as alone, which is tried out in the browser now. Each still has its own result, and its own error. WebNN
        has a session for each shape, so there a batch is full, a power of two, or does not come about.

        Args:
            size: Requests in a batch at most; 1 runs each one alone.

        Returns:
            Why requests run alone all the same, where they do; else ``None``.

        Raises:
            OptionError: ``size`` is below 1.
            PoolClosed: The model or its accelerator was closed.
        """
        if size < 1:
            raise OptionError(f"max_batch_size must be 1 or more, not {size!r}.", option="max_batch_size")
        self._check_open()
        self._batching = None
        batching = Batching.on(self._sessions.alike, size, self._pool.options.max_batch_wait)
        reason = await bar(self.package, batching, self._pool.options.lane_capacity_mb, self._try) if size > 1 else None
        if reason is not None:
            log.warning("requests of %s run one by one: %s", self.name, reason)
        elif batching.limit > 1:
            self._batching = batching
        return reason

    async def warm_up(self, lengths: Sequence[int] | None = None) -> int:
        """Run the model once in each shape expected, so that no request waits for shaders or sessions to be made.

        Args:
            lengths: Tokens of a sequence, for a model that takes one; ``None`` takes the option ``warm_up_lengths``.
                Other models are run once.

        Returns:
            How many lanes and shapes are warm; results of theirs say so in ``warmed``.

        Raises:
            PoolClosed: The model or its accelerator was closed.
        """
        self._check_open()
        return await self._warmth.spread(self._pool.options.warm_up_lengths if lengths is None else lengths)

    async def profile(self, inputs: Inputs, *, runs: int = 3) -> Profile:
        """Measure where a run's time goes in the browser, and in which operators, in sessions made for that.

        Args:
            inputs: As ``run`` takes them.
            runs: Runs that count; slow ones are fewer.

        Raises:
            WebinferError: As ``run`` and ``load``.
        """
        request, _ = self._make_request(await self.ears.prepare(inputs), None, None, 0)
        lane = (await self.load()).lane
        return await measure(self._pool, lane, self._sessions.recipe(request.key), request.tensors, runs)

    async def close(self) -> None:
        """Release the model on every lane. Later runs raise ``PoolClosed``."""
        if not self._closed:
            self._closed = True
            self._forget(self)
            self._sessions.close()

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer.

        Raises:
            TokenizerMissing: It came without one.
            TokenizerMismatch: It is another model's.
        """
        return self._reader.tokenizer

    @property
    def image_processor(self) -> ImageProcessor:
        """The model's image processor.

        Raises:
            ProcessorMissing: It came without one.
            InvalidModel: Its file cannot be read or followed.
        """
        return self._reader.image_processor

    def _request(
        self, inputs: Inputs, outputs: Sequence[str] | None, timeout: float | None, priority: int
    ) -> tuple[Request, Fit]:
        self._check_open()
        try:
            return self._make_request(inputs, outputs, timeout, priority)
        except WebinferError as error:
            self._recorder.failed(error, self)
            raise

    def _make_request(
        self, inputs: Inputs, outputs: Sequence[str] | None, timeout: float | None, priority: int
    ) -> tuple[Request, Fit]:
        signature = self.package.signature
        tensors = given = prepare(signature, self._reader.text(inputs))
        self._reader.check(tensors)
        how = fit(signature, tensors, self.backend, self._reader.positions.count)
        if not how.exact:
            tensors = pad(signature, tensors, how)
        if outputs is not None:
            refuse_unknown(outputs, signature, self.name)
        if not isinstance(priority, int):
            raise OptionError(f"priority must be a whole number, not {priority!r}.", option="priority")
        limit = self._limit(given) if timeout is None else seconds("timeout", timeout)
        wanted = list(outputs) if outputs else None
        key = self._open(how)
        request = Request(key, tensors, wanted, limit, self._items(tensors), priority)
        request.mates = self._mates(key, how, tensors, wanted) if self._batching else None
        request.audio_shader = getattr(inputs, "audio_shader", None)
        return request, how

    def _open(self, how: Fit) -> SessionKey:
        return self._sessions.open(how)

    def _mates(
        self, key: SessionKey, how: Fit, tensors: Mapping[str, NDArray[Any]], outputs: list[str] | None
    ) -> Mates | None:
        assert self._batching is not None
        alike = group(tensors, outputs)
        if alike is None:
            return None
        rows = self._batching.rows(1)
        together = key if rows == 1 else self._open(with_rows(self.package.signature, how, rows))
        return Mates(self._batching, alike, key, together)

    def _check_open(self) -> None:
        if self._closed:
            raise PoolClosed(f"{self.name} was closed: load it again.")

    def _limit(self, tensors: Mapping[str, NDArray[Any]]) -> float | None:
        """Return the seconds that a run may take."""
        timeouts = self._pool.timeouts
        nbytes = sum(array.nbytes for array in tensors.values()) if timeouts.large != 1 else 0
        return run_timeout(timeouts, self.family, nbytes)

    def _items(self, tensors: Mapping[str, NDArray[Any]]) -> int:
        for array in tensors.values():
            return array.shape[0] if self._batched and array.ndim > 1 else 1
        return 1

    async def _run_resident(
        self, tensors: Mapping[str, NDArray[Any]], outputs: Sequence[str], residents: Residents, lane: str | None
    ) -> Result:
        """Run a request some of whose tensors stay on a lane; ``Recurrence`` keeps the books of them."""
        self._check_open()
        self._reader.check(tensors)
        key = self._sessions.open(EXACT, stays=True)
        if lane is not None and key not in getattr(self._pool.lane_states.get(lane), "loaded", ()):
            raise HandleLost(f"Lane {lane} or its session is gone, and the tensors kept there: start over.", lane=lane)
        request = Request(key, tensors, list(outputs), self._limit(tensors), self._items(tensors))
        request.residents, request.pinned = residents, lane
        try:
            return await self._recorder.take(self, request, self._complete(request, EXACT))
        except BaseException:
            if request.lane is not None:
                self._free(request.lane.id, [*residents.keep.values()])
            raise

    def _free(self, lane: str, handles: Sequence[str]) -> None:
        """Release tensors that stayed on a lane, unless it is gone."""
        if handles and lane in self._pool.lanes:
            self._pool.lanes[lane].free(handles)

    async def _try(self, inputs: Mapping[str, NDArray[Any]], priority: int = 0) -> Result:
        """Run a request that is nobody's, and counts nowhere: a canary."""
        request, how = self._make_request(inputs, None, None, priority)
        request.mates, request.nobodys = None, True
        return await self._complete(request, how)

    async def _complete(self, request: Request, how: Fit) -> Result:
        message = await self._answer(request)
        try:
            return self._result(request, how, message)
        except NotANumber:
            if not request.part():
                raise
        # Whether the NaN is its own or a neighbour's: it is back only if it is its own.
        alone = replace(request, settled=False, lane=None)
        return self._result(alone, how, await self._answer(alone))

    async def _answer(self, request: Request) -> Message:
        future = self._pool.submit(request)
        try:
            return await future
        except asyncio.CancelledError:
            self._pool.give_up(request)
            raise

    def _result(self, request: Request, how: Fit, message: Message) -> Result:
        lane = request.lane
        assert lane is not None
        outputs = message.tensors if how.exact else trim(self.package.signature, message.tensors, how)
        if not self._pool.options.allow_nan:
            refuse_nan(outputs, self.name)
        capabilities = lane.capabilities
        return Result(
            outputs=outputs,
            model=self.name,
            model_sha256=self.package.sha256,
            model_cid=self.package.cid,
            weights=self.package.weights,
            family=self.package.family,
            asked=self._choice.asked,
            backend=self.backend,
            reason=self._choice.reason,
            precision=self.precision,
            quantized=self.package.quantized,
            rewritten=self._delivery.rewritten,
            notes=(*self._delivery.notes, *self._sessions.captures.note(message.fields, request.key.captured)),
            captured=message.fields.get("captured") is True,
            warmed=self._warmth.holds(lane.id, how),
            audio_shader=request.audio_shader,
            browser=lane.browser_name,
            routing=self._routings.of(lane),
            chosen_by=self._choice.by,
            decision=self._routings.decision(lane),
            engine=capabilities.engine,
            engine_version=capabilities.engine_version,
            runtime=lane.runtime,
            lane=lane.id,
            verdict=lane.verdict(self.backend).over(request.placement),
            placement=request.placement,
            accuracy=self._accuracies.get((capabilities.engine, capabilities.engine_version, lane.runtime)),
            shape={} if how.exact else dict(how.padded),
            times=request.times,
            items=request.items,
            batch=request.together,
            attempts=request.attempts,
        )


def _tell(progress: ProgressCallback, stage: str, done: int, total: int | None) -> None:
    progress(Progress(stage, done, total))
