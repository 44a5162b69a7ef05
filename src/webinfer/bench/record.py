"""The record of a benchmark: every single time, and how it was measured."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from webinfer.bench.cell import Cell, Turn
from webinfer.core.errors import BenchmarkError
from webinfer.core.json import write_json

FORMAT = 1


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
    """Return the record in a file.

    Args:
        path: The file.

    Raises:
        BenchmarkError: The file cannot be read, or this version does not read its format.
    """
    try:
        return parse_record(json.loads(path.read_bytes()), str(path))
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{path} is no benchmark: {error}. `webinfer bench --output FILE` writes one.") from error


def parse_record(data: Any, origin: str) -> Record:
    """Return the record made from values of JSON.

    Args:
        data: What ``Record.to_dict`` returned.
        origin: Where it comes from, for errors.

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
