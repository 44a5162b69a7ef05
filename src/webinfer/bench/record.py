"""The record of a benchmark: every single time, and how it was measured."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from webinfer.accuracy.comparison import Arrays, Limits, compare, digest, fault
from webinfer.core.errors import BenchmarkError, WebinferError
from webinfer.core.json import write_json
from webinfer.core.statistics import Interval
from webinfer.tuning.turns import cost

Status = Literal["waiting", "measured", "failed", "cannot"]
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A model, the place where it runs, and the number of requests at once."""

    model: str
    browser: str
    backend: str
    precision: str = "full"
    concurrency: int = 1

    def __str__(self) -> str:
        return f"{self.name}, {self.place}"

    @property
    def name(self) -> str:
        """The model, with its precision unless that is the full one."""
        return self.model if self.precision == "full" else f"{self.model} {self.precision}"

    @property
    def place(self) -> str:
        """Where it runs."""
        lanes = f", {self.concurrency} lanes" if self.concurrency > 1 else ""
        return f"{self.backend} in {self.browser}{lanes}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How a benchmark is measured. Times are in seconds.

    Attributes:
        confidence: Confidence of every interval.
        margin: Half-width of an interval that is narrow enough, relative to the figure.
        launches: Number of launches of each browser.
        least: Fewest rounds of a launch.
        most: Most rounds of a launch.
        turn: Approximate length of a turn.
        patience: Time for each configuration, in all launches together. A launch has two rounds even if that is longer.
        sequence: Length of texts, in tokens.
        seed: Seed of the order of turns, and of the inputs.
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
    """Some runs in a row. Shares are from 0 to 1.

    Attributes:
        launch: Number of the launch.
        round: Number of the round in it.
        seconds: Time of each request, until its answer.
        elapsed: Time of the turn.
        cores: Share of the machine's cores that worked.
        python: Number of cores that this process used.
        lanes: Share of the lanes' time in which they ran something.
        transfer: Share of the requests' time in which they were transferred.
        digest: Hash of the last answer.
        concurrency: Callers at once.
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
        """Seconds per item: the median for one caller, else the turn's length divided by its requests."""
        return cost(self.seconds, self.elapsed, self.concurrency)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTimes:
    """The times of one load, in seconds.

    Attributes:
        seconds: Time until the model was ready to run.
        fetch: Part of it that fetched the files.
        create: Part of it that created the session.
        first_run: Time of the first run, which comes after.
        nbytes: Bytes of the files.
        stored: Bytes that came from the browser's own storage.
    """

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
        passed: Whether it is within every limit of the comparison.
        difference: Largest difference of a value, relative to the output's largest value. ``None`` if an output cannot
            be compared: it is missing, has another shape, or has NaN or infinity where native's has not.
        tolerance: The largest difference that passes.
        cosine: The smallest cosine similarity of an output.
        digest: Hash of the answer. Answers with equal hashes are equal to the last bit.
        native: Hash of native onnxruntime's answer.
        fault: The limit that is exceeded, if any.
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
            native: Native onnxruntime's answer, by output name.
            limits: The largest differences that pass.

        Returns:
            The agreement.
        """
        deviations = compare(outputs, native)
        wrong = fault(deviations, limits)
        strange = any(deviation.strange for deviation in deviations)
        return cls(
            passed=wrong is None,
            difference=None if strange else max((deviation.error for deviation in deviations), default=0.0),
            tolerance=limits.error,
            cosine=min((value for output in deviations if (value := output.cosine) is not None), default=1.0),
            digest=digest(outputs),
            native=digest(native),
            fault=wrong,
        )

    def worse(self, other: Agreement) -> Agreement:
        """Return the worse of two: the one that did not pass, else the one with the larger difference.

        Args:
            other: Another agreement.

        Returns:
            One of the two.
        """

        def badness(agreement: Agreement) -> tuple[bool, bool, float]:
            return not agreement.passed, agreement.difference is None, agreement.difference or 0.0

        return max(other, self, key=badness)


@dataclass(slots=True, kw_only=True)
class Cell:
    """All that is known about one configuration.

    Attributes:
        configuration: The configuration.
        status: ``waiting``, ``measured``, ``failed`` (after its start) or ``cannot`` (it could not start).
        why: Why it failed or cannot be measured.
        code: The error's code.
        note: What differs from the command line.
        verdict: Verdict of its last result.
        evidence: Evidence of the verdict.
        observed: Its last result, without outputs and times.
        starts: Seconds that each launch took.
        cold: Loads in a browser that has just started.
        warm: Loads in a browser that had the model before.
        cached: Loads from the browser's own storage.
        warm_ups: Times of the runs before the first round, by launch.
        turns: The measured turns.
        memory_mb: Memory of the browser's processes after the rounds, in megabytes.
        agreement: Agreement with native onnxruntime.
        interval: Interval of the median cost, in seconds per item.
        reached: Whether the interval is narrow enough.
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

    def give_up(self, error: WebinferError) -> None:
        """Record why the configuration cannot be measured.

        Args:
            error: The reason.
        """
        self.status = "failed" if self.cold else "cannot"
        self.why, self.code = str(error), error.code


@dataclass(slots=True, kw_only=True)
class NativeReference:
    """Native onnxruntime in the same rounds as some configurations.

    Attributes:
        model: The model.
        precision: Its precision.
        concurrency: Callers at once.
        block: Number of its block of configurations.
        turns: The measured turns.
        why: Why it could not be measured.
    """

    model: str
    precision: str
    concurrency: int
    block: int = 0
    turns: list[Turn] = field(default_factory=list)
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrentRates:
    """Rates of models that ran at the same time in one pool, in answers per second.

    Attributes:
        models: The models.
        place: Where they ran.
        lanes: Lanes that they shared.
        alone: Rate of each model alone.
        together: Rate of each model beside the others.
    """

    models: list[str]
    place: str
    lanes: int
    alone: list[float]
    together: list[float]

    @property
    def gain(self) -> float:
        """Work at the same time, in units of the work of one model after the other: 2 if two run as fast as one."""
        return sum(together / alone for together, alone in zip(self.together, self.alone, strict=True))


@dataclass(slots=True, kw_only=True)
class Record:
    """A benchmark.

    Attributes:
        id: Its name: its start and some random letters.
        status: ``running``, ``finished`` or ``interrupted``.
        started: Time of its start, in ISO 8601.
        ended: Time of its end, in ISO 8601.
        machine: The machine.
        revision: Revision of the source in git, if it ran from a checkout.
        version: Version of webinfer.
        command: The matrix of configurations, as ``Matrix.to_dict`` returns it.
        options: Further options of the accelerators.
        method: How it was measured.
        browsers: What each browser reported of itself, by name, or why it is missing.
        cells: The configurations.
        references: Native onnxruntime in the same rounds.
        together: Models that ran at the same time, if the command asked for that.
        yardstick: Seconds of a fixed piece of work in every round, which tell how steady the machine was.
        format: Version of this format.
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
    references: list[NativeReference] = field(default_factory=list)
    together: list[ConcurrentRates] = field(default_factory=list)
    yardstick: list[float] = field(default_factory=list)
    format: int = FORMAT

    @property
    def measured(self) -> list[Cell]:
        """The cells that have figures."""
        return [cell for cell in self.cells if cell.status == "measured"]

    def reference(self, cell: Cell) -> NativeReference | None:
        """Return native onnxruntime in the rounds of a cell.

        Args:
            cell: A cell of this record.

        Returns:
            The reference; ``None`` if native onnxruntime did not run in all of these rounds.
        """
        configuration, rounds = cell.configuration, {(turn.launch, turn.round) for turn in cell.turns}
        key = (configuration.model, configuration.precision, configuration.concurrency)
        for reference in self.references:
            alike = (reference.model, reference.precision, reference.concurrency) == key
            if alike and rounds and rounds <= {(turn.launch, turn.round) for turn in reference.turns}:
                return reference
        return None

    def save(self, path: Path) -> None:
        """Write the record to a file, atomically.

        Args:
            path: The file.
        """
        write_json(path, self.to_dict(), indent=1)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as values of JSON."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


def read_record(path: Path) -> Record:
    """Read a record from a file.

    Args:
        path: The file.

    Returns:
        The record.

    Raises:
        BenchmarkError: The file cannot be read, or this version does not read its format.
    """
    try:
        return parse_record(json.loads(path.read_bytes()), str(path))
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{path} is no benchmark: {error}. `webinfer bench --output FILE` writes one.") from error


def parse_record(data: Any, origin: str) -> Record:
    """Make a record from values of JSON.

    Args:
        data: What ``Record.to_dict`` returned.
        origin: Where it comes from, for errors.

    Returns:
        The record.

    Raises:
        BenchmarkError: It is something else, or has a newer format.
    """
    version = data.get("format") if isinstance(data, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise BenchmarkError(
            f"{origin} was written by a newer webinfer: its format is {version}, and this version reads {FORMAT}."
        )
    try:
        return msgspec.convert(data, Record)
    except msgspec.ValidationError as error:
        raise BenchmarkError(
            f"{origin} is no benchmark: {error}. `webinfer bench --output FILE` writes one."
        ) from error
