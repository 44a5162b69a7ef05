"""Contestants that take turns: a model in a browser, the same model in native onnxruntime."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import psutil
from numpy.typing import NDArray

from webinfer.accuracy.comparison import digest, limits_for
from webinfer.accuracy.native import NativeSession
from webinfer.api.accelerator import AsyncAccelerator
from webinfer.bench.cell import Agreement, Cell, LoadTimes, Turn
from webinfer.bench.record import Method, NativeReference
from webinfer.core.errors import DeadlineExceeded, LoadFailed, WebinferError
from webinfer.core.options import Options
from webinfer.inference.model import AsyncModel
from webinfer.inference.result import Result
from webinfer.models.files.package import ModelPackage
from webinfer.tuning.turns import Pace

Inputs = dict[str, NDArray[Any]]
WARM_UP_SHARE = 1 / 3  # of the patience; warm-ups take that in addition
_PATIENCES = 4  # limit of a single run, in units of the patience


class BenchContestant(Protocol):
    """A contestant that takes turns."""

    @property
    def done(self) -> bool:
        """Whether it takes no more turns."""

    async def open(self) -> None:
        """Get ready for a launch: start, load and warm up."""

    async def turn(self, launch: int, number: int) -> None:
        """Run some requests, and record their times.

        Args:
            launch: Number of the launch.
            number: Number of the round in it.
        """

    async def close(self) -> None:
        """End the launch."""

    def give_up(self, error: WebinferError) -> None:
        """Record why it cannot go on.

        Args:
            error: The reason.
        """


@dataclass(slots=True)
class MachineLoad:
    """Clocks of the machine's work.

    Attributes:
        busy: Seconds that all cores have worked, added up.
        own: Seconds that this process has used.
        at: The time, in seconds.
    """

    busy: float
    own: float
    at: float

    @classmethod
    def now(cls) -> MachineLoad:
        """Return the clocks as they are now."""
        times = psutil.cpu_times()
        own = time.process_time()
        return cls(sum(times) - times.idle - getattr(times, "iowait", 0.0), own, time.perf_counter())

    def since(self, before: MachineLoad) -> tuple[float, float]:
        """Return the load between two moments.

        Args:
            before: The earlier moment.

        Returns:
            The share of the cores that worked, from 0 to 1, and the number of cores that this process used.
        """
        elapsed = max(self.at - before.at, 1e-9)
        return (self.busy - before.busy) / elapsed / (os.cpu_count() or 1), (self.own - before.own) / elapsed


class BenchBrowser:
    """A model in a browser, one launch after the other.

    Args:
        cell: Gets what is measured.
        package: The model.
        inputs: The request; a recording, if the browser computes its features.
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
        return f"<BenchBrowser {self.cell.configuration}>"

    @property
    def done(self) -> bool:
        """Whether it takes no more turns."""
        return self.cell.done

    async def open(self) -> None:
        """Start a browser, load the model cold, in the first launch once more warm, and warm up.

        Raises:
            WebinferError: The browser cannot be started, or the model cannot be loaded or run.
        """
        self._accelerator = AsyncAccelerator(self._configured())
        began = time.perf_counter()
        await self._accelerator.start()
        self.cell.starts.append(time.perf_counter() - began)
        self._model, loaded = await self._load(self._accelerator)
        self.cell.cold.append(loaded)
        if not self.cell.warm:  # warm: the same browser has compiled the model before
            await self._model.close()
            self._model, loaded = await self._load(self._accelerator)
            self.cell.warm.append(loaded)
        self.cell.warm_ups.append(await self._pace.warm_up(self._run, warm_up_limit(self._method)))

    async def turn(self, launch: int, number: int) -> None:
        """Take a turn with all callers at once. Each caller sends its next request when it has its answer.

        Args:
            launch: Number of the launch.
            number: Number of the round in it.

        Raises:
            WebinferError: A run failed.
        """
        # Nothing but the runs lies between the two readings: checks and hashes come after.
        concurrency = self.cell.configuration.concurrency
        before = MachineLoad.now()
        results = (await self._pace.take(self._run)).answers
        after = MachineLoad.now()
        elapsed = after.at - before.at
        cores, python = after.since(before)
        last = results[-1]
        self._check(last)
        turn = Turn(
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
        self.cell.turns.append(turn)

    async def close(self) -> None:
        """Record the browser's memory, and close it."""
        accelerator, self._accelerator, self._model = self._accelerator, None, None
        if accelerator is not None:
            try:
                if self.cell.turns:
                    metrics = await accelerator.metrics()
                    self.cell.memory_mb = metrics["resource_pool"]["memory_usage_mb"]
            finally:
                await accelerator.close()

    def give_up(self, error: WebinferError) -> None:
        """Record why it cannot go on.

        Args:
            error: The reason.
        """
        self.cell.give_up(error)

    async def load_cached(self) -> None:
        """Load the model from the browser's own storage, after a first load has put it there.

        It does nothing for a model whose cold load took longer than the patience.

        Raises:
            WebinferError: The browser cannot be started, or the model cannot be loaded or run.
        """
        if sum(load.seconds + load.first_run for load in self.cell.cold[:1]) > self._method.patience:
            return
        async with AsyncAccelerator(self._configured(store_models=True)) as accelerator:
            model, _ = await self._load(accelerator)
            await model.close()
            _, loaded = await self._load(accelerator)
            if loaded.stored:
                self.cell.cached.append(loaded)

    def _configured(self, **more: Any) -> Options:
        configuration = self.cell.configuration
        return Options.of(
            browser=configuration.browser,
            lanes=configuration.concurrency,
            run_timeout=self._method.patience * _PATIENCES,
            **self._options,
            **more,
        )

    async def _load(self, accelerator: AsyncAccelerator) -> tuple[AsyncModel, LoadTimes]:
        configuration = self.cell.configuration
        began = time.perf_counter()
        model = await accelerator.load(
            configuration.model,
            platform=configuration.backend,  # type: ignore[arg-type]  # one of its values
            precision=None if configuration.precision == "full" else configuration.precision,
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
        """Record what ran, and the worst agreement with native onnxruntime."""
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
    """Compare an answer with native onnxruntime's, by the limits that admit a model when it is loaded.

    Args:
        outputs: The answer, by output name.
        native: Native onnxruntime's answer, by output name.
        precision: Precision of the weights.
        options: Options of the accelerator. Their ``accuracy_limits`` count here too.

    Returns:
        Whether the answer passes, and how far it is from native onnxruntime's.
    """
    return Agreement.of(outputs, native, limits_for(precision, options.get("accuracy_limits")))


class BenchNative:
    """The same model in native onnxruntime, on all cores.

    Args:
        session: The model.
        inputs: The request.
        concurrency: Callers at once.
        reference: Gets what is measured.
        method: How to measure.
    """

    done = False  # it takes turns as long as any browser does

    def __init__(
        self, session: NativeSession, inputs: Inputs, concurrency: int, reference: NativeReference, method: Method
    ) -> None:
        self.reference = reference
        self._session = session
        self._inputs = inputs
        self._concurrency = concurrency
        self._warm_up_limit = warm_up_limit(method)
        self._pace = Pace(method.turn, concurrency)

    def __repr__(self) -> str:
        return f"<BenchNative {self._session!r}>"

    async def open(self) -> None:
        """Warm up."""
        await self._pace.warm_up(self._run, self._warm_up_limit)

    async def turn(self, launch: int, number: int) -> None:
        """Take a turn with all callers at once.

        Args:
            launch: Number of the launch.
            number: Number of the round in it.
        """
        began = time.perf_counter()
        times = await asyncio.gather(*(self._repeat(self._pace.count) for _ in range(self._concurrency)))
        elapsed = time.perf_counter() - began
        turn = Turn(
            launch=launch,
            round=number,
            seconds=[seconds for caller in times for seconds in caller],
            elapsed=elapsed,
            concurrency=self._concurrency,
        )
        self.reference.turns.append(turn)

    async def close(self) -> None:
        """Do nothing: the session serves all launches."""

    def give_up(self, error: WebinferError) -> None:
        """Record why it cannot go on.

        Args:
            error: The reason.
        """
        self.reference.why = str(error)

    async def _run(self) -> float:
        return (await self._repeat(1))[0]

    async def _repeat(self, count: int) -> list[float]:
        # One thread runs them all, so that no run waits for the event loop.
        return await asyncio.to_thread(self._times, count)

    def _times(self, count: int) -> list[float]:
        marks = [time.perf_counter()]
        for _ in range(count):
            self._session.run(self._inputs)
            marks.append(time.perf_counter())
        return [end - start for start, end in pairwise(marks)]


def warm_up_limit(method: Method) -> float:
    """Return the seconds that the warm-up of a launch may take.

    Args:
        method: How to measure.
    """
    return method.patience / method.launches * WARM_UP_SHARE
