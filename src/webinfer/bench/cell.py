"""One configuration of a benchmark, with all its times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from webinfer.accuracy.comparison import Arrays, Limits, compare, digest, fault
from webinfer.core.errors import WebinferError
from webinfer.core.statistics import Interval
from webinfer.tuning.turns import cost

Status = Literal["waiting", "measured", "failed", "cannot"]


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
        """Return the agreement of an answer with native onnxruntime's.

        Args:
            outputs: The answer, by output name.
            native: Native onnxruntime's answer, by output name.
            limits: The largest differences that pass.
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
