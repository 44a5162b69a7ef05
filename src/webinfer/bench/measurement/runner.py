"""The measurement: launches, rounds in them, and turns in those, until the figures are known well enough."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from webinfer.accuracy.native import NativeSession
from webinfer.accuracy.samples.maker import sample, sound
from webinfer.bench.cell import Cell
from webinfer.bench.measurement.contestants import WARM_UP_SHARE, BenchBrowser, BenchContestant, BenchNative, Inputs
from webinfer.bench.measurement.interval import update_intervals
from webinfer.bench.record import Method, NativeReference, Record
from webinfer.core.errors import WebinferError
from webinfer.models.files.package import ModelPackage
from webinfer.quantization import obtain

log = logging.getLogger("webinfer.bench")

SIDE_BY_SIDE = 6  # browsers that are open at once
_WORK = bytes(4_000_000)


@dataclass(frozen=True, slots=True)
class BenchmarkStep:
    """The progress of a benchmark.

    Attributes:
        text: The current step, in words.
        block: Cells that are being measured, if any.
        done: Configurations that are done.
        total: Configurations that can be measured; 0 while that is unknown.
        ahead: Seconds that the rest may take at most. It is set once, before the first measurement.
    """

    text: str
    block: Sequence[Cell] = ()
    done: int = 0
    total: int = 0
    ahead: float | None = None


StepListener = Callable[[BenchmarkStep], None]


def blocks_of(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Group the waiting cells into blocks that are measured side by side.

    The cells of a block have one model and one concurrency.

    Args:
        cells: The cells of a benchmark.

    Returns:
        Blocks of at most ``SIDE_BY_SIDE`` cells.
    """
    by_key: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        if not cell.done:
            by_key.setdefault((cell.configuration.model, cell.configuration.concurrency), []).append(cell)
    return [
        group[start : start + SIDE_BY_SIDE] for group in by_key.values() for start in range(0, len(group), SIDE_BY_SIDE)
    ]


def remaining_seconds(record: Record) -> float:
    """Return the seconds that the warm-ups and rounds of the waiting cells may take at most.

    Launches and loads take time in addition. So do long runs, because a launch has at least two rounds.

    Args:
        record: The benchmark.
    """
    waiting = blocks_of(record.cells)
    natives = sum(len({cell.configuration.precision for cell in block}) for block in waiting)
    return (sum(map(len, waiting)) + natives) * record.method.patience * (1 + WARM_UP_SHARE)


def with_counts(cells: Sequence[Cell], listener: StepListener) -> StepListener:
    """Return a listener that adds to each step how many configurations are done.

    Args:
        cells: The cells of the benchmark.
        listener: Gets the steps with the counts.
    """
    possible = {cell.configuration for cell in cells if cell.status != "cannot"}

    def forward(step: BenchmarkStep) -> None:
        done = sum(cell.done for cell in cells if cell.configuration in possible)
        listener(replace(step, done=done, total=len(possible)))

    return forward


async def measure(record: Record, path: Path, listener: StepListener, options: dict[str, Any] | None = None) -> None:
    """Measure the waiting cells of a record, and save it after each block.

    Args:
        record: The benchmark; gets the figures.
        path: File to save it to.
        listener: Called with the progress.
        options: Further options of the accelerators.
    """
    record.status = "running"
    record.save(path)
    try:
        for block in blocks_of(record.cells):
            await BlockMeasurement(record, block, listener, options or {}).run()
            record.save(path)
            listener(BenchmarkStep(f"saved {block[0].configuration.model}", block))
        record.status = "finished"
    except BaseException:
        record.status = "interrupted"
        for number, cell in enumerate(record.cells):
            if not cell.done:  # half a block cannot be compared, so that it is measured again as a whole
                record.cells[number] = Cell(configuration=cell.configuration, note=cell.note)
        raise
    finally:
        record.save(path)


class BlockMeasurement:
    """The measurement of one block: configurations of one model take turns, with native onnxruntime among them.

    Args:
        record: The benchmark.
        cells: The cells of the block.
        listener: Called with the progress.
        options: Further options of the accelerators.
    """

    def __init__(self, record: Record, cells: list[Cell], listener: StepListener, options: dict[str, Any]) -> None:
        self._record = record
        self._cells = cells
        self._listener = listener
        self._options = options
        self._method: Method = record.method
        self._configuration = cells[0].configuration
        self._references: list[NativeReference] = []

    def __repr__(self) -> str:
        configuration = self._configuration
        return f"<BlockMeasurement {configuration.model} x{configuration.concurrency} cells={len(self._cells)}>"

    async def run(self) -> None:
        """Measure the block."""
        natives, browsers = await asyncio.to_thread(self._contestants)
        for launch in range(self._method.launches):
            opened: list[BenchContestant] = []
            contestants: list[BenchContestant] = [*natives, *browsers]
            try:
                for contestant in contestants:
                    if isinstance(contestant, BenchBrowser):
                        self._report(f"launch {launch + 1}: {contestant.cell.configuration}")
                    if await self._succeeds(contestant, contestant.open()):
                        opened.append(contestant)
                if any(contestant in opened for contestant in browsers):
                    await self._rounds(opened, launch)
            finally:
                for contestant in contestants:
                    with suppress(WebinferError):  # the cell has the reason already
                        await contestant.close()
            browsers = [browser for browser in browsers if not browser.done]
        for browser in browsers:
            self._report(f"cached load: {browser.cell.configuration}")
            with suppress(WebinferError):  # a browser may refuse storage; its other figures still count
                await browser.load_cached()
        for browser in browsers:  # all at once, with their references, so that a block is never half measured
            browser.cell.status = "measured"
        self._record.references += [reference for reference in self._references if reference.turns or reference.why]

    def _report(self, text: str) -> None:
        self._listener(BenchmarkStep(text, self._cells))

    def _contestants(self) -> tuple[list[BenchNative], list[BenchBrowser]]:
        """Return the native and the browser contestants, with the model of each precision loaded natively."""
        natives: list[BenchNative] = []
        browsers: list[BenchBrowser] = []
        prepared: dict[str, tuple[ModelPackage, dict[str, Any], Inputs | None]] = {}
        for cell in self._cells:
            precision = cell.configuration.precision
            if precision not in prepared:
                self._report(f"find {self._configuration.model}")
                try:
                    package, request, inputs = self._find(precision)
                except WebinferError as error:
                    cell.give_up(error)
                    continue
                prepared[precision] = package, request, self._native_answer(package, precision, inputs, natives)
            browsers.append(BenchBrowser(cell, *prepared[precision], self._method, self._options))
        return natives, browsers

    def _find(self, precision: str) -> tuple[ModelPackage, dict[str, Any], Inputs]:
        """Return the model, the browser's request, and the same inputs for native onnxruntime."""
        package = obtain(self._configuration.model, precision=None if precision == "full" else precision)
        recording = sound(package, self._method.seed) if self._options.get("audio_shaders") else None
        if recording is not None:
            request, inputs = recording
            return package, request, inputs
        inputs = sample(package, self._method.sequence, self._method.seed)
        return package, inputs, inputs

    def _native_answer(
        self, package: ModelPackage, precision: str, inputs: Inputs, natives: list[BenchNative]
    ) -> Inputs | None:
        """Return native onnxruntime's answer, and add it to the contestants. Without one, record the reason."""
        configuration = self._configuration
        reference = NativeReference(
            model=configuration.model,
            precision=precision,
            concurrency=configuration.concurrency,
            block=len({reference.block for reference in self._record.references}),
        )
        self._references.append(reference)
        try:
            session = NativeSession(package)
            answer = session.run(inputs)
        except WebinferError as error:
            reference.why = str(error)
            return None
        natives.append(BenchNative(session, inputs, configuration.concurrency, reference, self._method))
        return answer

    async def _rounds(self, opened: Sequence[BenchContestant], launch: int) -> None:
        """Let all contestants take turns, in an order that changes from round to round."""
        method = self._method
        order = np.random.default_rng((method.seed, launch))
        # Contestants of a block share their time: a slow one has more of it, since all have the same number of turns.
        share = method.patience * len(opened) / method.launches
        began = time.perf_counter()
        for number in range(method.most):
            self._record.yardstick.append(await asyncio.to_thread(time_fixed_work))
            for index in order.permutation(len(opened)):
                contestant = opened[int(index)]
                if not contestant.done:
                    await self._succeeds(contestant, contestant.turn(launch, number))
            enough = update_intervals(self._cells, launch, method) and number + 1 >= method.least
            self._report(f"launch {launch + 1}, round {number + 1}")
            spent = time.perf_counter() - began
            if enough or (spent > share and number >= 1):
                return

    async def _succeeds(self, contestant: BenchContestant, work: Awaitable[object]) -> bool:
        """Return whether a contestant's work succeeded. An error ends this contestant, and no other."""
        try:
            await work
        except WebinferError as error:
            log.info("%r gave up: %s", contestant, error)
            contestant.give_up(error)
            return False
        return True


def time_fixed_work() -> float:
    """Return the seconds of a fixed piece of work on one core: hashing 4 MB."""
    began = time.perf_counter()
    hashlib.sha256(_WORK).digest()
    return time.perf_counter() - began
