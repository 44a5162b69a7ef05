"""A loaded model, asynchronously."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import (
    DeadlineExceeded,
    EmptyBatch,
    PoolClosed,
    RunFailed,
    RuntimeDied,
    UnsupportedOperator,
    WebinferError,
)
from webinfer.core.lifetime.background import gather_all
from webinfer.inference.assembly import seconds_left
from webinfer.inference.loaded_model import LoadedModel
from webinfer.inference.request_builder import Inputs
from webinfer.inference.residents.sharing import holds_handles, run_shared
from webinfer.inference.result import Result
from webinfer.models.preprocessing import sentences
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.pool.plan.buckets import Fit
from webinfer.pool.requests.request import Request

if TYPE_CHECKING:
    from webinfer.models.preprocessing.image_processor import ImageProcessor

__all__ = ["AsyncModel", "Inputs"]


class AsyncModel(LoadedModel):
    """A model in a browser. Made by ``AsyncAccelerator.load``.

    Attributes:
        package: Its files, signature, family and tokenizer.
        backend: Backend that runs it.
        precision: Precision of its weights.
        loaded: Times and size of its first loading; ``None`` until ``load`` has ended.
    """

    @property
    def family(self) -> str:
        """The family, or group of families, whose factor the time limit of its runs has; it may be set."""
        return self.requests.family

    @family.setter
    def family(self, family: str) -> None:
        self.requests.family = family

    async def run(
        self,
        inputs: Inputs,
        *,
        outputs: Sequence[str] | None = None,
        keep: Sequence[str] = (),
        timeout: float | None = None,
        priority: int = 0,
    ) -> Result:
        """Run one request and wait for its result.

        Args:
            inputs: Arrays, nested lists or scalars by input name; one bare array where the model has one input; or
                text, where it has a tokenizer. Lists take the declared dtype. A missing batch axis is added.
                ``attention_mask``, ``token_type_ids`` and ``position_ids`` may be left out. A model with
                ``pixel_values`` takes images for it: paths, the bytes of files or PIL images, one or a list, by that
                name or, where it takes no text, bare. One with ``input_values`` or ``input_features`` takes recordings
                likewise: paths, the bytes of files, or ``{"array": samples, "sampling_rate": hertz}``. An input may
                also be a handle of ``result.kept``. The request runs where that tensor is.
            outputs: Names of the outputs wanted; ``None`` for all but those of ``keep``.
            keep: Names of outputs that stay in the browser. ``result.kept`` has a handle for each, which another
                model's ``run`` takes as an input. What is kept is not looked at for NaN.
            timeout: Seconds until ``DeadlineExceeded``; ``None`` takes the option ``run_timeout``, scaled by
                ``timeout_factors`` and ``large_timeout_factor``.
            priority: A whole number. Where requests wait, those of a higher priority go first, whatever their model.
                Within a priority models take turns, and a model's requests keep their order. A request that runs
                already is not interrupted.

        Returns:
            The outputs and what was observed.

        Raises:
            InputError: The inputs do not fit the model's signature.
            HandleLost: A tensor that was kept is gone, with its lane.
            NotANumber: An output holds NaN, and the option ``allow_nan`` is off.
            DeadlineExceeded: No answer came in time.
            QueueFull: ``max_queue`` requests wait already.
            PoolClosed: The model or its accelerator was closed.
            WebinferError: As the runtime or the pool reported it.
        """
        if keep or holds_handles(inputs):
            self._check_open()
            return await run_shared(self, self._pool, inputs, keep, outputs, timeout, priority)
        inputs = await self.requests.read(inputs)
        request, bucket = self._request(inputs, outputs, timeout, priority)
        return await self.observer.take(self, request, self._answer(request, bucket, inputs))

    def submit(
        self,
        inputs: Inputs,
        *,
        outputs: Sequence[str] | None = None,
        keep: Sequence[str] = (),
        timeout: float | None = None,
        priority: int = 0,
    ) -> Future[Result]:
        """Start one request and return at once, without waiting for its result.

        Args:
            inputs: As ``run`` takes them.
            outputs: As ``run`` takes them.
            keep: As ``run`` takes it.
            timeout: As ``run`` takes it.
            priority: As ``run`` takes it.

        Returns:
            A future of the result. Here it is awaited. Its ``cancel`` gives the request up. What ``run`` would raise,
            the future raises when it is asked for its result.
        """
        return asyncio.ensure_future(self.run(inputs, outputs=outputs, keep=keep, timeout=timeout, priority=priority))

    async def run_batch(
        self,
        batch: Iterable[Inputs],
        *,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        priority: int = 0,
    ) -> list[Result]:
        """Run many requests on as many lanes as there are, and wait for all of them.

        Args:
            batch: Inputs of each request, as ``run`` takes them.
            outputs: As ``run`` takes them, for every request.
            timeout: As ``run`` takes it, for every request. Where none is given, the requests share the longest limit
                that one of them would have by itself, because they wait for each other.
            priority: As ``run`` takes it, for every request.

        Returns:
            Their results, in order.

        Raises:
            EmptyBatch: There are none.
            WebinferError: As ``run``; the first one in order, once all have ended.
        """
        batch = [await self.requests.read(inputs) for inputs in batch]
        requests = [(*self._request(inputs, outputs, timeout, priority), inputs) for inputs in batch]
        if not requests:
            raise EmptyBatch("The batch is empty: pass at least one request.")
        longest = max((request.timeout for request, *_ in requests if request.timeout is not None), default=None)
        for request, *_ in requests:
            request.timeout = longest  # they wait for each other
        return await gather_all(
            self.observer.take(self, request, self._answer(request, bucket, inputs))
            for request, bucket, inputs in requests
        )

    async def embed(
        self, texts: str | Sequence[str], *, normalized: bool = True, batch_size: int = 32
    ) -> NDArray[np.float32]:
        """Embed sentences: the mean of the last hidden state over each one's tokens.

        A model with an output ``sentence_embedding`` has its own way to a vector, which is taken instead.

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
            WebinferError: As ``run``.
        """
        reader = self.requests.reader
        return await sentences.embed(self.run_batch, reader, texts, normalized=normalized, batch_size=batch_size)

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer.

        Raises:
            TokenizerMissing: It came without one.
            TokenizerMismatch: It is another model's.
        """
        return self.requests.reader.tokenizer

    @property
    def image_processor(self) -> ImageProcessor:
        """The model's image processor.

        Raises:
            ProcessorMissing: It came without one.
            InvalidModel: Its file cannot be read or followed.
        """
        return self.requests.reader.image_processor

    async def _answer(self, request: Request, bucket: Fit, inputs: Inputs) -> Result:
        """Return the result of a request: from another backend, where webinfer chose this one and it fails.

        Raises:
            RuntimeDied: This backend failed, and no other may take its place.
            RunFailed: Likewise.
            UnsupportedOperator: Likewise.
            PoolClosed: The model or its accelerator was closed.
            WebinferError: As ``run``.
        """
        tried = self.results
        try:
            return await tried.complete(request, bucket)
        except (RuntimeDied, RunFailed, UnsupportedOperator, PoolClosed) as error:
            if self._closed or not self.failover.may_help(error, moved=self.results is not tried):
                raise
            failure = error
        try:
            async with asyncio.timeout(seconds_left(request.timeout, request.submitted)) as limit:
                # Of several requests that failed at once, the first moves the model. The others find it moved.
                if self.results is tried and not self.failover.is_moving and not isinstance(failure, PoolClosed):
                    return await self.failover.begin(self._move(request, inputs, failure))
                await self.failover.settle()
        except TimeoutError:
            if not limit.expired():
                raise
            why = (
                f"{self.name} failed on {self.backend} ({failure.summary}), and no other backend answered within "
                f"{request.timeout:g} s: raise run_timeout."
            )
            raise DeadlineExceeded(why, timeout=request.timeout) from failure
        self._check_open()
        return await _repeat(self, request, inputs, seconds_left(request.timeout, request.submitted))

    async def _move(self, request: Request, inputs: Inputs, failure: WebinferError) -> Result:
        """Return the result of a failed request from another backend, and keep the model there.

        The model moves only once the other backend has answered. So a request that no backend can answer moves nothing.
        The answer may take the whole of the request's limit: where its caller no longer waits, the next ones gain.

        Raises:
            PoolClosed: The model was closed meanwhile.
            WebinferError: The failure, where no other backend answers.
        """
        substitute = self.failover.substitute
        assert substitute is not None  # without one, the failure is not worth another try
        why = f"{self.backend} could not run it ({failure.summary})"
        if isinstance(failure, RuntimeDied):
            # Requests that still wait here would end more lanes, and the other backend's session needs lanes.
            self.sessions.withdraw()
        other = await substitute.load(why)
        if other is None:
            raise failure
        try:
            result = await _repeat(other, request, inputs, request.timeout)
            await substitute.remember(request.place, why)
            self._check_open()  # a closed model would never release what the other one holds
        except PoolClosed:
            await other.close()
            raise
        except WebinferError as error:
            await other.close()
            self.failover.restrict()
            raise failure from error
        except BaseException:
            await other.close()
            raise
        size, family = self.max_batch_size, self.family
        self._become(other)
        self.family = family
        if size > 1:
            await self.set_max_batch_size(size)
        return result

    def _request(
        self, inputs: Inputs, outputs: Sequence[str] | None, timeout: float | None, priority: int
    ) -> tuple[Request, Fit]:
        self._check_open()
        try:
            request, bucket = self.requests.build(inputs, outputs, timeout, priority)
        except WebinferError as error:
            self.observer.failed(error, self)
            raise
        request.replaceable = self.failover.substitute is not None and self.backend != "wasm"
        return request, bucket


async def _repeat(model: LoadedModel, request: Request, inputs: Inputs, timeout: float | None) -> Result:
    """Run a failed request once more, on the backend that a model has now.

    Args:
        model: The model.
        request: The failed request.
        inputs: Its inputs, as they were given.
        timeout: Seconds that it may take; ``None`` for any.

    Returns:
        The result, which counts the attempts before.

    Raises:
        WebinferError: As ``AsyncModel.run``.
    """
    repeated, bucket = model.requests.build(inputs, request.outputs, timeout, request.priority)
    repeated.attempts, repeated.recorded = request.attempts, request.recorded
    return await model.results.complete(repeated, bucket)
