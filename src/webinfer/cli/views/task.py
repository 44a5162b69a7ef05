"""How answers to tasks look: whatever their form, as tables for people."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webinfer import Result
from webinfer.cli.output.layout import heading, pairs, timed
from webinfer.cli.output.units import seconds
from webinfer.cli.views.run import first_values, who


@dataclass(frozen=True, slots=True)
class Answered:
    """What was asked and answered. Times in seconds.

    Attributes:
        task: The task's name.
        inputs: What was given, as the pipeline got it.
        answer: The last answer.
        result: What was observed of its last run.
        load: From asking for the model until it could run.
        seconds: Of each answer, everything included.
    """

    task: str
    inputs: tuple[Any, ...]
    answer: Any
    result: Result
    load: float
    seconds: list[float]

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        runs = {"first": self.seconds[0], "median": statistics.median(self.seconds), "all": self.seconds}
        return {
            "task": self.task,
            "answer": listed(self.answer),
            **self.result.observed(),
            "browser": self.result.browser,
            "family": self.result.family,
            "load": {"seconds": self.load},
            "runs": runs,
        }


def listed(value: Any) -> Any:
    """Return an answer as JSON can hold it."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, dict):
        return {key: listed(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [listed(each) for each in value]
    return str(value) if isinstance(value, Path) else value


_BAR = 24  # columns of a score of 1
_LONG = 60  # characters of an input that are shown


def view(answered: Answered, *, told: bool = False, picture: Path | None = None) -> RenderableType:
    """Lay out an answer, what gave it, and its times.

    Args:
        answered: What was asked and answered.
        told: The answer stands there already.
        picture: Where it was drawn.
    """
    result = answered.result
    head = f"{result.weights} weights, {result.precision}"
    parts: list[RenderableType] = [
        Text.assemble((answered.task, "title"), "  ", (f"{result.model}, {head}", "quiet")),
        *(() if told else _answers(answered.inputs, answered.answer)),
        *(() if picture is None else (Text(f"Drawn: {picture}"),)),
        heading("What did it"),
        pairs(who(result)),
        heading("Where the time went"),
        pairs(_times(answered)),
    ]
    return Padding(Group(*parts), (1, 0, 1, 2), expand=False)


def _answers(inputs: tuple[Any, ...], answer: Any) -> Iterator[RenderableType]:
    """Yield an answer under its input, or one for each of several inputs."""
    if len(inputs) == 2 and _is_scores(answer):
        yield heading(f"Compared with: {_short(inputs[0])}")
        yield _records([{"score": score, "sentence": text} for score, text in zip(answer, inputs[1], strict=True)])
    elif isinstance(inputs[0], list) and isinstance(answer, list) and len(answer) == len(inputs[0]):
        for each, part in zip(inputs[0], answer, strict=True):
            yield heading(_short(each))
            yield _shown(part)
    else:
        yield heading("Answer" if isinstance(inputs[0], list | Mapping) else _short(inputs[0]))
        yield _shown(answer)


def _shown(answer: Any) -> RenderableType:
    if isinstance(answer, Mapping):
        return _record(answer) if set(answer) == {"label", "score"} else pairs(_fields(answer))
    if isinstance(answer, np.ndarray):
        return Text.assemble(f"{answer.dtype} {list(answer.shape)}  ", (first_values(answer), "quiet"))
    if isinstance(answer, Sequence) and not isinstance(answer, str):
        if answer and all(isinstance(each, Mapping) for each in answer):
            return _records(answer)
        return Group(*(_shown(each) for each in answer))
    return Text(f"{answer:.4f}" if isinstance(answer, float) else str(answer))


def _record(answer: Mapping[str, Any]) -> Table:
    return _records([answer])


def _records(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Lay out records with the same keys as a table, scores with bars."""
    names = list(rows[0])
    names.sort(key=lambda name: name != "score")  # stable: the score first, the rest as they came
    table = Table.grid(padding=(0, 3, 0, 0))
    for name in names:
        table.add_column(justify="right" if isinstance(rows[0][name], int | float) else "left")
        if name == "score":
            table.add_column(no_wrap=True)
    table.add_row(
        *(Text(head, style="quiet") for name in names for head in ((name, "") if name == "score" else (name,)))
    )
    for row in rows:
        cells: list[RenderableType] = []
        for name in names:
            cells += [Text(f"{row[name]:.4f}"), _bar(row[name])] if name == "score" else [_cell(row.get(name))]
        table.add_row(*cells)
    return table


def _bar(score: float) -> Text:
    return Text("\u2588" * round(_BAR * min(1.0, max(0.0, score))), style="label")


def _cell(value: Any) -> Text:
    if isinstance(value, Mapping):
        return Text(", ".join(f"{key} {_cell(each)}" for key, each in value.items()))
    if isinstance(value, np.ndarray):
        return Text(f"{value.dtype} {list(value.shape)}")
    if isinstance(value, float):
        return Text(f"{value:.4g}")
    return Text(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))


def _fields(answer: Mapping[str, Any]) -> list[tuple[str, RenderableType]]:
    return [
        (key, _shown(value) if isinstance(value, list | tuple) and value else _cell(value))
        for key, value in answer.items()
    ]


def _times(answered: Answered) -> list[tuple[str, RenderableType]]:
    rows: list[tuple[str, RenderableType]] = [
        ("Load", timed(answered.load, "fetch or find the model, make its session"))
    ]
    first, *later = answered.seconds
    rows.append(("First answer" if later else "Answer", timed(first, "from asking to answer, all included")))
    if later:
        said = f"median of {len(later)}, {seconds(min(later))} to {seconds(max(later))}"
        rows.append(("Later ones", timed(statistics.median(later), said)))
    return rows


def _is_scores(answer: Any) -> bool:
    return isinstance(answer, list) and all(isinstance(each, float) for each in answer)


def _short(text: Any) -> str:
    said = str(text)
    return said if len(said) <= _LONG else said[: _LONG - 3] + "..."
