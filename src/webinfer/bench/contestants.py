"""What takes turns: a model in a browser, the same in native onnxruntime, and a fixed piece of work."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psutil
from numpy.typing import NDArray

from webinfer.accuracy.comparison import digest, limits_for
from webinfer.accuracy.native import NativeSession
from webinfer.api.accelerator import AsyncAccelerator
from webinfer.bench.record import Agreement, Cell, LoadTimes, Method, Reference, Turn
from webinfer.core.errors import DeadlineExceeded, LoadFailed
from webinfer.core.options import Options
from webinfer.inference.model import AsyncModel
from webinfer.inference.result import Result
from webinfer.models.files.package import ModelPackage
from webinfer.tuning.turns import Pace

Inputs = dict[str, NDArray[Any]]
WARMING = 1 / 3  # of the patience, for warming up besides
_PATIENCES = 4  # for a single run
_WORK = bytes(4_000_000)


@dataclass(slots=True)
class Load:
    """What the machine did meanwhile."""

    busy: float
    own: float
    at: float

    @classmethod
    def now(cls) -> Load:
        """Read the clocks."""
        times = psutil.cpu_times()
        own = time.process_time()
        return cls(sum(times) - times.idle - getattr(times, "iowait", 0.0), own, time.perf_counter())

    def since(self, before: Load) -> tuple[float, float]:
        """Return the share of the cores that worked since ``before``, and the cores that this process took."""
        elapsed = max(self.at - before.at, 1e-9)
        return (self.busy - before.busy) / elapsed / (os.cpu_count() or 1), (self.own - before.own) / elapsed


class InBrowser:
    """A model in a browser, one launch after the other.

    Args:
        cell: Gets what is found.
        package: The model.
        inputs: The request; a recording, where the browser is to make its features.
        native: The right answer, if there is one.
        method: How to measure.
        options: Further options of the accelerator.
    """

    def __init__(
        self,
        cell: Cell,
        package: ModelPackage,
        inputs: dict[str, Any],
        native: Inputs | None,
        method: Method,
        options: dict[str, Any],
    ) -> None:
        self.cell = cell
        self._package = package
        self._inputs = inputs
        self._native = native
        self._method = method
        self._pace = Pace(method.turn, cell.configuration.concurrency)
        self._options = options
        self._accelerator: AsyncAccelerator | None = None
        self._model: AsyncModel | None = None

    def __repr__(self) -> str:
        return f"<InBrowser {self.cell.configuration}>"

    async def open(self, launch: int) -> None:
        """Start a browser, load the model cold, once more warm at the first launch, and warm up."""
        self._accelerator = AsyncAccelerator(self._configured())
        began = time.perf_counter()
        await self._accelerator.start()
        self.cell.starts.append(time.perf_counter() - began)
        self._model, loaded = await self._load(self._accelerator)
        self.cell.cold.append(loaded)
        if launch == 0:
            await self._model.close()
            self._model, loaded = await self._load(self._accelerator)
            self.cell.warm.append(loaded)
        self.cell.warm_ups.append(await self._pace.warm_up(self._run, warming(self._method)))

    async def turn(self, launch: int, number: int) -> Turn:
        """Have as many callers as may run at once, each of which asks again as soon as it is answered."""
        concurrency = self.cell.configuration.concurrency
        before = Load.now()
        results = (await self._pace.take(self._run)).answers
        after = Load.now()
        elapsed = after.at - before.at
        cores, python = after.since(before)
        last = results[-1]
        self._check(last)
        return Turn(
            launch=launch,
            round=number,
            seconds=[result.times.total for result in results],
            elapsed=elapsed,
            cores=cores,
            python=python,
            lanes=sum(result.times.run for result in results) / elapsed / concurrency,
            transfer=sum(result.times.transfer for result in results) / sum(result.times.total for result in results),
            digest=digest(last.outputs),
            concurrency=concurrency,
        )

    async def close(self) -> None:
        """End the browser, after a look at its memory."""
        accelerator, self._accelerator, self._model = self._accelerator, None, None
        if accelerator is not None:
            try:
                if self.cell.turns:
                    metrics = await accelerator.metrics()
                    self.cell.memory_mb = metrics["resource_pool"]["memory_usage_mb"]
            finally:
                await accelerator.close()

    async def load_cached(self) -> None:
        """Load the model from the browser's own storage, in a browser that has put it there just before.

        What took longer than the patience already is left out.
        """
        if sum(each.seconds + each.first_run for each in self.cell.cold[:1]) > self._method.patience:
            return
        async with AsyncAccelerator(self._configured(store_models=True)) as accelerator:
            model, _ = await self._load(accelerator)
            await model.close()
            _, loaded = await self._load(accelerator)
            if loaded.stored:
                self.cell.cached.append(loaded)

    def _configured(self, **more: Any) -> Options:
        asked = self.cell.configuration
        return Options.of(
            browser=asked.browser,
            lanes=asked.concurrency,
            run_timeout=self._method.patience * _PATIENCES,
            **self._options,
            **more,
        )

    async def _load(self, accelerator: AsyncAccelerator) -> tuple[AsyncModel, LoadTimes]:
        asked = self.cell.configuration
        began = time.perf_counter()
        model = await accelerator.load(
            asked.model,
            platform=asked.backend,  # type: ignore[arg-type]  # one of its values
            precision=None if asked.precision == "full" else asked.precision,
        )
        seconds = time.perf_counter() - began
        first = await self._answer(model)
        if model.loaded is None:
            raise LoadFailed(f"{model.name} answered without having been loaded.")
        self._check(first)
        return model, LoadTimes(
            seconds=seconds,
            fetch=model.loaded.fetch,
            create=model.loaded.create,
            first_run=first.times.total,
            nbytes=model.loaded.nbytes,
            stored=model.loaded.stored,
        )

    async def _run(self) -> Result:
        assert self._model is not None
        return await self._answer(self._model)

    async def _answer(self, model: AsyncModel) -> Result:
        try:
            return await model.run(self._inputs)
        except DeadlineExceeded as error:
            patience = self._method.patience
            raise DeadlineExceeded(
                f"A run took over {patience * _PATIENCES:g} s, {_PATIENCES} times the patience of {patience:g} s "
                "(`webinfer bench --patience`)."
            ) from error

    def _check(self, result: Result) -> None:
        """Note what ran, and keep the worst agreement."""
        cell = self.cell
        cell.verdict, cell.evidence = result.verdict.kind, list(result.verdict.evidence)
        cell.observed = {name: value for name, value in result.observed().items() if name != "times"}
        cell.observed |= {"browser": result.browser, "family": result.family}
        if self._native is not None:
            latest = agreement(result.outputs, self._native, result.precision, self._options)
            cell.agreement = latest if cell.agreement is None else cell.agreement.worse(latest)


def agreement(
    outputs: Mapping[str, NDArray[Any]], native: Inputs, precision: str, options: Mapping[str, Any]
) -> Agreement:
    """Hold an answer against native onnxruntime's, by the limits that admit a model when it is loaded.

    Args:
        outputs: The answer.
        native: Native's, for the same inputs.
        precision: Of the weights.
        options: Options of the accelerator, whose ``accuracy_limits`` count here, too.
    """
    return Agreement.of(outputs, native, limits_for(precision, options.get("accuracy_limits")))


class Native:
    """The same model in native onnxruntime, on all cores.

    Args:
        session: The model.
        inputs: The request.
        concurrency: Callers at once.
        reference: Gets what is measured.
        method: How to measure.
    """

    def __init__(
        self, session: NativeSession, inputs: Inputs, concurrency: int, reference: Reference, method: Method
    ) -> None:
        self.reference = reference
        self._session = session
        self._inputs = inputs
        self._concurrency = concurrency
        self._warming = warming(method)
        self._pace = Pace(method.turn, concurrency)

    def __repr__(self) -> str:
        return f"<Native {self._session!r}>"

    async def open(self, launch: int) -> None:  # noqa: ARG002  # as of one that has launches
        """Warm up."""
        await self._pace.warm_up(self._run, self._warming)

    async def turn(self, launch: int, number: int) -> Turn:
        """Have as many callers as may run at once."""
        began = time.perf_counter()
        times = await asyncio.gather(*(self._repeat(self._pace.count) for _ in range(self._concurrency)))
        elapsed = time.perf_counter() - began
        return Turn(
            launch=launch,
            round=number,
            seconds=[seconds for some in times for seconds in some],
            elapsed=elapsed,
            concurrency=self._concurrency,
        )

    async def close(self) -> None:
        """Has nothing to end."""

    async def _run(self) -> float:
        return (await self._repeat(1))[0]

    async def _repeat(self, count: int) -> list[float]:
        return await asyncio.to_thread(self._times, count)  # one thread for all of them: none waits for the loop

    def _times(self, count: int) -> list[float]:
        marks = [time.perf_counter()]
        for _ in range(count):
            self._session.run(self._inputs)
            marks.append(time.perf_counter())
        return [end - start for start, end in pairwise(marks)]


def warming(method: Method) -> float:
    """Return the seconds that the warm-up of a launch may take."""
    return method.patience / method.launches * WARMING


def yardstick() -> float:
    """Return the seconds of a fixed piece of work on one core: hashing 4 MB."""
    began = time.perf_counter()
    hashlib.sha256(_WORK).digest()
    return time.perf_counter() - began
