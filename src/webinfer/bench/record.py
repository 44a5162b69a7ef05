"""What a benchmark found, as it is kept: every single time, and what it was measured with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from webinfer.accuracy.comparison import Arrays, Limits, compare, digest, fault
from webinfer.core.errors import BenchmarkError
from webinfer.core.json import write_json
from webinfer.core.statistics import Interval
from webinfer.tuning.turns import cost

Status = Literal["waiting", "measured", "failed", "cannot"]
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What is measured: a model, where, and with how much at once."""

    model: str
    browser: str
    backend: str
    precision: str = "full"
    concurrency: int = 1

    def __str__(self) -> str:
        return f"{self.name}, {self.place}"

    @property
    def name(self) -> str:
        """The model, with its precision where one was chosen."""
        return self.model if self.precision == "full" else f"{self.model} {self.precision}"

    @property
    def place(self) -> str:
        """Where it runs."""
        lanes = f", {self.concurrency} lanes" if self.concurrency > 1 else ""
        return f"{self.backend} in {self.browser}{lanes}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How it is measured. Times in seconds.

    Attributes:
        confidence: Of every interval.
        margin: Half-width of an interval, as a part of the figure, that is enough.
        launches: How often each browser is started anew.
        least: Rounds of a launch, at least.
        most: Rounds of a launch, at most.
        turn: Length of a turn, about.
        patience: Time for each configuration, of all launches together; more only to have two rounds.
        sequence: Length of texts.
        seed: Chooses the order of turns, and the inputs.
    """

    confidence: float = 0.95
    margin: float = 0.05
    launches: int = 3
    least: int = 6
    most: int = 40
    turn: float = 0.25
    patience: float = 45.0
    sequence: int = 128
    seed: int = 0


@dataclass(slots=True, kw_only=True)
class Turn:
    """Some runs in a row. Shares are of what there is, from 0 to 1.

    Attributes:
        launch: Number of the launch.
        round: Number of the round in it.
        seconds: Time of each request, from asking to answer.
        elapsed: Time of the turn.
        cores: Share of the machine's cores that worked.
        python: Cores that this process took.
        lanes: Share of the lanes' time in which they ran something.
        transfer: Share of the requests' time on the way.
        digest: Hash of the last answer.
    """

    launch: int
    round: int
    seconds: list[float]
    elapsed: float
    cores: float | None = None
    python: float | None = None
    lanes: float | None = None
    transfer: float | None = None
    digest: str | None = None
    concurrency: int = 1

    @property
    def cost(self) -> float:
        """Seconds per item: the median where one runs at a time, else the turn's length by its requests."""
        return cost(self.seconds, self.elapsed, self.concurrency)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTimes:
    """One loading, in seconds: from asking until it could run, in that fetching and creating; then the first run."""

    seconds: float
    fetch: float
    create: float
    first_run: float
    nbytes: int
    stored: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How an answer compares with native onnxruntime's for the same inputs and the same file.

    Attributes:
        passed: Within every limit of the comparison.
        difference: Largest difference of a value, as a part of the output's largest one; ``None`` where there is none,
            since an output is missing, of another shape, or NaN or infinite where native's is not.
        tolerance: The largest difference that passes.
        cosine: The smallest cosine of an output.
        digest: Hash of the answer: equal hashes are equal to the last bit.
        native: Hash of native's.
        fault: Which limit is passed, if any.
    """

    passed: bool
    difference: float | None
    tolerance: float
    cosine: float
    digest: str
    native: str
    fault: str | None = None

    @classmethod
    def of(cls, outputs: Arrays, native: Arrays, limits: Limits) -> Agreement:
        """Compare an answer with native onnxruntime's.

        Args:
            outputs: The answer, by output name.
            native: Native's.
            limits: What they may differ by.
        """
        deviations = compare(outputs, native)
        wrong = fault(deviations, limits)
        strange = any(deviation.strange for deviation in deviations)
        return cls(
            passed=wrong is None,
            difference=None if strange else max((deviation.error for deviation in deviations), default=0.0),
            tolerance=limits.error,
            cosine=min((value for each in deviations if (value := each.cosine) is not None), default=1.0),
            digest=digest(outputs),
            native=digest(native),
            fault=wrong,
        )

    def worse(self, other: Agreement) -> Agreement:
        """Return the worse of two: one that did not pass, else the one with the larger difference."""
        return max(other, self, key=lambda one: (not one.passed, one.difference is None, one.difference or 0.0))


@dataclass(slots=True, kw_only=True)
class Cell:
    """All that is known of one configuration.

    Attributes:
        configuration: What it is.
        status: ``waiting``, ``measured``, ``failed`` (it began) or ``cannot`` (it could not begin).
        why: Why it failed or cannot.
        code: That error's code.
        note: What was done differently from what was asked.
        verdict: Of its last result.
        evidence: What that rests on.
        observed: Its last result, but for outputs and times.
        starts: Seconds that each launch took.
        cold: Loadings in a browser just started.
        warm: Loadings in a browser that had the model before.
        cached: Loadings from the browser's own storage.
        warm_ups: Times of the runs before the first round, by launch.
        turns: What was measured.
        memory_mb: Of the browser's processes, after the rounds.
        agreement: With native onnxruntime.
        reached: The interval is as narrow as was asked for.
    """

    configuration: Configuration
    status: Status = "waiting"
    why: str | None = None
    code: str | None = None
    note: str | None = None
    verdict: str | None = None
    evidence: list[str] = field(default_factory=list)
    observed: dict[str, Any] = field(default_factory=dict)
    starts: list[float] = field(default_factory=list)
    cold: list[LoadTimes] = field(default_factory=list)
    warm: list[LoadTimes] = field(default_factory=list)
    cached: list[LoadTimes] = field(default_factory=list)
    warm_ups: list[list[float]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    memory_mb: float | None = None
    agreement: Agreement | None = None
    interval: Interval | None = None
    reached: bool = False

    @property
    def done(self) -> bool:
        """Whether there is nothing left to measure."""
        return self.status != "waiting"


@dataclass(slots=True, kw_only=True)
class Reference:
    """Native onnxruntime beside some configurations, in the same rounds.

    Attributes:
        model: The model.
        precision: Its precision.
        concurrency: How many ran at once.
        block: Which of several blocks of configurations it belongs to.
        turns: What was measured.
        why: Why it could not be.
    """

    model: str
    precision: str
    concurrency: int
    block: int = 0
    turns: list[Turn] = field(default_factory=list)
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Models that ran at the same time in one pool. Rates are answers per second.

    Attributes:
        models: The models.
        place: Where.
        lanes: Lanes that they shared.
        alone: Rate of each one by itself.
        together: Rate of each one beside the others.
    """

    models: list[str]
    place: str
    lanes: int
    alone: list[float]
    together: list[float]

    @property
    def gain(self) -> float:
        """Work done beside each other, in units of that of one after the other: 2 where two run as fast as one."""
        return sum(both / own for both, own in zip(self.together, self.alone, strict=True))


@dataclass(slots=True, kw_only=True)
class Record:
    """A benchmark.

    Attributes:
        id: Its name: when it was begun, and some letters.
        status: ``running``, ``finished`` or ``interrupted``.
        started: When, in ISO 8601.
        ended: Likewise.
        machine: What it ran on.
        revision: Of the source in git, where it was run from there.
        version: Of webinfer.
        command: What was asked for.
        options: Further options of the accelerators.
        method: How it was measured.
        browsers: What each browser said of itself, by name, or why it is missing.
        cells: The configurations.
        references: Native onnxruntime beside them.
        together: Models that ran at the same time, where that was asked for.
        yardstick: Seconds of one fixed piece of work, once in every round: how steady the machine was.
    """

    id: str
    status: Literal["running", "finished", "interrupted"] = "running"
    started: str = ""
    ended: str | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    revision: str | None = None
    version: str = ""
    command: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    method: Method = field(default_factory=Method)
    browsers: dict[str, Any] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    together: list[Together] = field(default_factory=list)
    yardstick: list[float] = field(default_factory=list)
    format: int = FORMAT

    @property
    def measured(self) -> list[Cell]:
        """The cells that have figures."""
        return [cell for cell in self.cells if cell.status == "measured"]

    def reference(self, cell: Cell) -> Reference | None:
        """Return native onnxruntime as it ran beside a cell, if it did."""
        asked, rounds = cell.configuration, {(turn.launch, turn.round) for turn in cell.turns}
        for each in self.references:
            alike = (each.model, each.precision, each.concurrency) == (asked.model, asked.precision, asked.concurrency)
            if alike and rounds and rounds <= {(turn.launch, turn.round) for turn in each.turns}:
                return each
        return None

    def save(self, path: Path) -> None:
        """Write it; another process, or a crash, finds the old file or the new one."""
        write_json(path, self.to_dict(), indent=1)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        made: dict[str, Any] = msgspec.to_builtins(self)
        return made


def read(path: Path) -> Record:
    """Read a record from a file.

    Raises:
        BenchmarkError: There is none, or it is not one that this version reads.
    """
    try:
        return of(json.loads(path.read_bytes()), str(path))
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{path} is no benchmark: {error}. `webinfer bench --output FILE` writes one.") from error


def of(data: Any, origin: str) -> Record:
    """Make a record of what ``to_dict`` gave.

    Raises:
        BenchmarkError: It is something else, or of a newer version.
    """
    found = data.get("format") if isinstance(data, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise BenchmarkError(f"{origin} was written by a newer webinfer: format {found}, and this one reads {FORMAT}.")
    try:
        return msgspec.convert(data, Record)
    except msgspec.ValidationError as error:
        raise BenchmarkError(
            f"{origin} is no benchmark: {error}. `webinfer bench --output FILE` writes one."
        ) from error


def launches(turns: Iterable[Turn]) -> list[list[float]]:
    """Return the costs of turns, by launch."""
    by_launch: dict[int, list[float]] = {}
    for turn in turns:
        by_launch.setdefault(turn.launch, []).append(turn.cost)
    return [by_launch[launch] for launch in sorted(by_launch)]


def ratios(turns: Iterable[Turn], reference: Reference) -> Iterator[Turn]:
    """Yield turns whose cost is that of each one, in units of native onnxruntime's in the same round."""
    native = {(turn.launch, turn.round): turn.cost for turn in reference.turns}
    for turn in turns:
        ratio = turn.cost / native[turn.launch, turn.round]
        yield Turn(launch=turn.launch, round=turn.round, seconds=[ratio], elapsed=ratio)
