"""Measuring: launches, rounds in them, turns in those, until the figures are known well enough."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from webinfer.accuracy.native import NativeSession
from webinfer.accuracy.samples import sample, sound
from webinfer.bench.contestants import WARMING, InBrowser, Inputs, Native, yardstick
from webinfer.bench.record import Cell, Method, Record, Reference, launches
from webinfer.core.errors import WebinferError
from webinfer.core.statistics import Interval, over_launches, within_launch
from webinfer.models.files.package import ModelPackage
from webinfer.quantization import obtain

log = logging.getLogger("webinfer.bench")

TOGETHER = 6  # browsers that are open side by side


@dataclass(frozen=True, slots=True)
class Step:
    """How far a benchmark is.

    Attributes:
        text: What is being done.
        block: Cells that are being measured, if any.
        done: Configurations that are done.
        total: How many there are, without those that were ruled out at once; 0 as long as that is not known.
        ahead: Seconds that the rest may take at most, once, before the first of them.
    """

    text: str
    block: Sequence[Cell] = ()
    done: int = 0
    total: int = 0
    ahead: float | None = None


Tell = Callable[[Step], None]


def blocks(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Group the cells that wait into blocks that are measured side by side: of one model and concurrency each."""
    by_key: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        if not cell.done:
            by_key.setdefault((cell.configuration.model, cell.configuration.concurrency), []).append(cell)
    return [some[at : at + TOGETHER] for some in by_key.values() for at in range(0, len(some), TOGETHER)]


def ahead(record: Record) -> float:
    """Return the seconds that what waits may take in warm-ups and rounds: launches and loads come on top.

    A little more it may be where single runs are long, since each has two rounds at least.
    """
    waiting = blocks(record.cells)
    natives = sum(len({cell.configuration.precision for cell in block}) for block in waiting)
    return (sum(map(len, waiting)) + natives) * record.method.patience * (1 + WARMING)


def counting(cells: Sequence[Cell], tell: Tell) -> Tell:
    """Return a ``tell`` that adds to each step how many configurations are done, of those that may be."""
    possible = {cell.configuration for cell in cells if cell.status != "cannot"}

    def told(step: Step) -> None:
        done = sum(cell.done for cell in cells if cell.configuration in possible)
        tell(replace(step, done=done, total=len(possible)))

    return told


async def measure(record: Record, path: Path, tell: Tell, options: dict[str, Any] | None = None) -> None:
    """Measure the cells of a record that wait, and write it down after each block.

    Args:
        record: Says what, gets what is found.
        path: Where to write it.
        tell: Is told how far it is.
        options: Further options of the accelerators.
    """
    record.status = "running"
    record.save(path)
    try:
        for block in blocks(record.cells):
            await LaunchBlock(record, block, tell, options or {}).run()
            record.save(path)
            tell(Step(f"kept {block[0].configuration.model}", block))
        record.status = "finished"
    except BaseException:
        record.status = "interrupted"
        for cell in record.cells:
            if not cell.done:  # half a block says nothing: it is measured anew
                fresh = Cell(configuration=cell.configuration, note=cell.note)
                record.cells[record.cells.index(cell)] = fresh
        raise
    finally:
        record.save(path)


class LaunchBlock:
    """Configurations of one model that take turns, with native onnxruntime among them."""

    def __init__(self, record: Record, cells: list[Cell], tell: Tell, options: dict[str, Any]) -> None:
        self._record = record
        self._cells = cells
        self._tell = tell
        self._options = options
        self._method: Method = record.method
        self._asked = cells[0].configuration
        self._references: list[Reference] = []

    def __repr__(self) -> str:
        return f"<LaunchBlock {self._asked.model} x{self._asked.concurrency} cells={len(self._cells)}>"

    async def run(self) -> None:
        """Measure."""
        natives, browsers = await asyncio.to_thread(self._contestants)
        for launch in range(self._method.launches):
            opened: list[InBrowser | Native] = []
            everyone: list[InBrowser | Native] = [*natives, *browsers]
            try:
                for each in everyone:
                    if await self._guarded(each, self._open(each, launch)):
                        opened.append(each)
                if any(isinstance(each, InBrowser) for each in opened):
                    await self._rounds(opened, launch)
            finally:
                for each in everyone:
                    with suppress(WebinferError):  # what it was is in the cell by now
                        await each.close()
            browsers = [each for each in browsers if not each.cell.done]
        for each in browsers:
            self._tell(Step(f"cached load: {each.cell.configuration}", self._cells))
            with suppress(WebinferError):  # a storage that refuses is no reason to lose the rest
                await each.load_cached()
        for each in browsers:  # all at once, with what they are held against: half a block is none
            each.cell.status = "measured"
        self._record.references += [each for each in self._references if each.turns or each.why]

    def _contestants(self) -> tuple[list[Native], list[InBrowser]]:
        """Find the models, natively and for the browsers."""
        natives: list[Native] = []
        answers: dict[str, tuple[ModelPackage, dict[str, Any], Inputs | None]] = {}
        browsers: list[InBrowser] = []
        number = len({each.block for each in self._record.references})
        for cell in self._cells:
            precision = cell.configuration.precision
            if precision not in answers:
                self._tell(Step(f"find {self._asked.model}", self._cells))
                try:
                    package = obtain(self._asked.model, precision=None if precision == "full" else precision)
                    heard = sound(package, self._method.seed) if self._options.get("audio_shaders") else None
                    inputs = heard[1] if heard else sample(package, self._method.sequence, self._method.seed)
                except WebinferError as error:
                    _give_up(cell, error, began=False)
                    continue
                reference = Reference(
                    model=self._asked.model,
                    precision=precision,
                    concurrency=self._asked.concurrency,
                    block=number,
                )
                self._references.append(reference)
                native = None
                try:
                    session = NativeSession(package)
                    native = session.run(inputs)
                    natives.append(Native(session, inputs, self._asked.concurrency, reference, self._method))
                except WebinferError as error:
                    reference.why = str(error)
                answers[precision] = (package, heard[0] if heard else inputs, native)
            package, given, native = answers[precision]
            browsers.append(InBrowser(cell, package, given, native, self._method, self._options))
        return natives, browsers

    async def _open(self, each: InBrowser | Native, launch: int) -> None:
        if isinstance(each, InBrowser):
            self._tell(Step(f"launch {launch + 1}: {each.cell.configuration}", self._cells))
        await each.open(launch)

    async def _rounds(self, opened: list[InBrowser | Native], launch: int) -> None:
        """Have everyone take turns, in an order that changes from round to round."""
        method = self._method
        order = np.random.default_rng((method.seed, launch))
        share = method.patience * len(opened) / method.launches
        began = time.perf_counter()
        for number in range(method.most):
            self._record.yardstick.append(await asyncio.to_thread(yardstick))
            for at in order.permutation(len(opened)):
                each = opened[int(at)]
                turns = each.reference.turns if isinstance(each, Native) else each.cell.turns
                if not (isinstance(each, InBrowser) and each.cell.done):
                    await self._guarded(each, self._turn(each, turns, launch, number))
            enough = judge(self._cells, launch, method) and number + 1 >= method.least
            self._tell(Step(f"launch {launch + 1}, round {number + 1}", self._cells))
            spent = time.perf_counter() - began
            if enough or (spent > share and number >= 1):
                return

    async def _turn(self, each: InBrowser | Native, turns: list[Any], launch: int, number: int) -> None:
        turns.append(await each.turn(launch, number))

    async def _guarded(self, each: InBrowser | Native, work: Any) -> bool:
        """Await some work of a contestant; an error ends it, and no other one."""
        try:
            await work
        except WebinferError as error:
            log.info("%r gave up: %s", each, error)
            if isinstance(each, Native):
                each.reference.why = str(error)
            else:
                _give_up(each.cell, error, began=bool(each.cell.cold))
            return False
        return True


def judge(cells: Sequence[Cell], launch: int, method: Method) -> bool:
    """Bound every figure, and tell whether more rounds of a launch help none: they never tell how launches differ.

    Args:
        cells: What is being measured.
        launch: Number of the launch that is going on.
        method: How well figures are to be known.
    """
    enough = True
    for cell in cells:
        if not cell.done and cell.turns:
            cell.interval = interval(launches(cell.turns), method.confidence)
            cell.reached = cell.interval.is_within(method.margin, method.confidence)
            now = [turn.cost for turn in cell.turns if turn.launch == launch]
            known = bool(now) and within_launch(now, method.confidence).is_within(method.margin, method.confidence)
            enough = enough and known
    return enough


def interval(costs: Sequence[Sequence[float]], confidence: float) -> Interval:
    """Bound the median cost, by launches where there are several."""
    return within_launch(costs[0], confidence) if len(costs) == 1 else over_launches(costs, confidence)


def _give_up(cell: Cell, error: WebinferError, *, began: bool) -> None:
    cell.status = "failed" if began else "cannot"
    cell.why, cell.code = str(error), error.code
