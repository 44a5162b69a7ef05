"""Layout of answers to tasks, as tables, whatever their form."""

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
    """The inputs and answers of a task. Times are in seconds.

    Attributes:
        task: The task's name.
        inputs: The pipeline's inputs.
        answer: The last answer.
        result: The result of its last run.
        load: Time until the model was ready to run.
        seconds: Time of each whole answer.
    """

    task: str
    inputs: tuple[Any, ...]
    answer: Any
    result: Result
    load: float
    seconds: list[float]

    def to_dict(self) -> dict[str, Any]:
        """Return the answer and its times as values of JSON."""
        runs = {"first": self.seconds[0], "median": statistics.median(self.seconds), "all": self.seconds}
        return {
            "task": self.task,
            "answer": _to_json(self.answer),
            **self.result.observed(),
            "browser": self.result.browser,
            "family": self.result.family,
            "load": {"seconds": self.load},
            "runs": runs,
        }


def _to_json(value: Any) -> Any:
    """Return an answer as values of JSON."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value


_BAR = 24  # columns of a score of 1
_LONG = 60  # characters of an input that are shown


def view(answered: Answered, *, printed: bool = False, picture: Path | None = None) -> RenderableType:
    """Return the layout of an answer, of what computed it, and of its times.

    Args:
        answered: The inputs and the answer.
        printed: Whether the answer has been printed already.
        picture: File of the annotated image.
    """
    result = answered.result
    head = f"{result.weights} weights, {result.precision}"
    parts: list[RenderableType] = [
        Text.assemble((answered.task, "title"), "  ", (f"{result.model}, {head}", "quiet")),
        *(() if printed else _answers(answered.inputs, answered.answer)),
        *(() if picture is None else (Text(f"Drawn: {picture}"),)),
        heading("What ran it"),
        pairs(who(result)),
        heading("Where the time went"),
        pairs(_times(answered)),
    ]
    return Padding(Group(*parts), (1, 0, 1, 2), expand=False)


def _answers(inputs: tuple[Any, ...], answer: Any) -> Iterator[RenderableType]:
    """Yield the answer below its input, for each input."""
    if len(inputs) == 2 and _is_scores(answer):
        yield heading(f"Compared with: {_short(inputs[0])}")
        yield _records([{"score": score, "sentence": text} for score, text in zip(answer, inputs[1], strict=True)])
    elif isinstance(inputs[0], list) and isinstance(answer, list) and len(answer) == len(inputs[0]):
        for item, part in zip(inputs[0], answer, strict=True):
            yield heading(_short(item))
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
        if answer and all(isinstance(item, Mapping) for item in answer):
            return _records(answer)
        return Group(*(_shown(item) for item in answer))
    return Text(f"{answer:.4f}" if isinstance(answer, float) else str(answer))


def _record(answer: Mapping[str, Any]) -> Table:
    return _records([answer])


def _records(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of records with the same keys, scores with bars."""
    names = list(rows[0])
    names.sort(key=lambda name: name != "score")  # a stable sort: the score comes first, the others keep their order
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
        return Text(", ".join(f"{key} {_cell(item)}" for key, item in value.items()))
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
        ("Load", timed(answered.load, "fetch or find the model, create its session"))
    ]
    first, *later = answered.seconds
    rows.append(("First answer" if later else "Answer", timed(first, "from request to answer")))
    if later:
        spread = f"median of {len(later)}, {seconds(min(later))} to {seconds(max(later))}"
        rows.append(("Later answers", timed(statistics.median(later), spread)))
    return rows


def _is_scores(answer: Any) -> bool:
    return isinstance(answer, list) and all(isinstance(score, float) for score in answer)


def _short(text: Any) -> str:
    shown = str(text)
    return shown if len(shown) <= _LONG else shown[: _LONG - 3] + "..."
