"""Layout of runs: the outputs, then the times."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webinfer import Result, SessionLoaded
from webinfer.api.services.models import PROCESSOR_FILE, ModelPackage
from webinfer.cli.output.layout import BACKEND_NAMES, browser_name, heading, pairs, timed, verdict
from webinfer.cli.output.units import seconds, size
from webinfer.core.tensors import SOUND


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of a model. Times are in seconds, from request to answer.

    Attributes:
        outputs: Outputs of the last run; with ``--embed`` only ``embedding``.
        result: The last run's result.
        loaded: Times and size of the model's loading.
        load: Time until the model was ready to run.
        seconds: Time of each run.
    """

    outputs: Mapping[str, NDArray[Any]]
    result: Result
    loaded: SessionLoaded
    load: float
    seconds: list[float]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the outputs, as values of JSON."""
        return {
            **self.result.observed(),
            "browser": self.result.browser,
            "family": self.result.family,
            "load": {
                "seconds": self.load,
                "fetch": self.loaded.fetch,
                "create": self.loaded.create,
                "nbytes": self.loaded.nbytes,
            },
            "runs": {"first": self.seconds[0], "median": statistics.median(self.seconds), "all": self.seconds},
        }


_HEADS = ("name", "dtype", "shape", "first values", "min", "max", "mean")
_SHOWN = 3  # values of an output


def view(runs: Runs, output: Path | None) -> RenderableType:
    """Return the layout of runs.

    Args:
        runs: The runs.
        output: File that the outputs were written to.
    """
    result = runs.result
    parts: list[RenderableType] = [
        Text.assemble((result.model, "title"), ("  ", ""), (f"{result.weights} weights, {result.precision}", "quiet")),
        heading("Outputs"),
        _outputs(runs),
    ]
    if output is not None:
        parts.append(Text.assemble("Written to ", (str(output), "command")))
    parts += [heading("What ran it"), pairs(who(runs.result)), heading("Where the time went"), pairs(_times(runs))]
    return Padding(Group(*parts), (1, 0, 1, 2), expand=False)


def describe_inputs(package: ModelPackage) -> str:
    """Return lines of text that describe the inputs of a model.

    Args:
        package: The model.
    """
    first = package.signature.inputs[0].name
    lines = [f"There are no inputs. {package.name} takes:"]
    lines += [
        f"  {spec}{'' if spec in package.signature.required else '  (may be left out)'}"
        for spec in package.signature.inputs
    ]
    lines.append(f"Pass each as --input {first}=FILE.npy or as --input '{first}=[...]'")
    takes = {spec.name for spec in package.signature.inputs}
    if package.tokenizer and "input_ids" in takes and "pixel_values" not in takes:
        lines.append(f'It has a tokenizer and takes text too: webinfer run {package.reference} "Some text."')
    if "pixel_values" in takes and "input_ids" not in takes and package.settings(PROCESSOR_FILE):
        lines.append(f"It takes image files too: webinfer run {package.reference} photo.jpg")
    if takes & set(SOUND) and package.settings(PROCESSOR_FILE):
        lines.append(f"It takes audio files too: webinfer run {package.reference} recording.wav")
    return "\n".join(lines)


def _outputs(runs: Runs) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="label", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for _ in ("min", "max", "mean"):
        table.add_column(style="quiet", justify="right", no_wrap=True)
    table.add_row(*(Text(head, style="quiet") for head in _HEADS))
    for name, array in runs.outputs.items():
        table.add_row(name, str(array.dtype), _shape(array.shape), first_values(array), *_statistics(array))
    return table


def who(result: Result) -> list[tuple[str, Text]]:
    """Return names and values that describe the browser and the backend of a request.

    Args:
        result: The result.
    """
    asked = (
        "chosen by auto"
        if result.asked == "auto"
        else "as asked"
        if not result.reason
        else f"in place of {result.asked}"
    )
    rows = [
        ("Browser", Text(f"{browser_name(result.browser)} {result.engine_version}, lane {result.lane}")),
        ("Backend", Text.assemble((BACKEND_NAMES[result.backend], "title"), f", {asked}, in {result.runtime}")),
        ("Verdict", verdict(result.verdict)),
    ]
    if result.reason:
        rows.append(("Why", Text(result.reason)))
    rows += [("Left out", Text(note)) for note in result.notes]
    if result.shape:
        rows.append(("Padded to", Text(", ".join(f"{name} {length}" for name, length in result.shape.items()))))
    return rows


def _times(runs: Runs) -> list[tuple[str, Text]]:
    times, loaded = runs.result.times, runs.loaded
    load = f"{size(loaded.nbytes)}, fetch {seconds(loaded.fetch)}, create the session {seconds(loaded.create)}"
    rows = [("Load", timed(runs.load, load))]
    if len(runs.seconds) > 1:
        later = runs.seconds[1:]
        spread = f"median of {len(later)}, {seconds(min(later))} to {seconds(max(later))}"
        rows += [
            ("First run", timed(runs.seconds[0], "")),
            ("Later runs", timed(statistics.median(later), spread)),
        ]
    parts = (("queue", times.queue), ("wait", times.wait), ("run", times.run), ("transfer", times.transfer))
    spent = ", ".join(f"{name} {seconds(value)}" for name, value in parts)
    rows.append(("Last run" if len(runs.seconds) > 1 else "Run", timed(times.total, spent)))
    if runs.result.attempts > 1:
        rows.append(("Attempts", Text(f"{runs.result.attempts}: a lane or browser was lost on the way", style="warn")))
    return rows


def first_values(array: NDArray[Any]) -> str:
    """Return up to three values of an array as text.

    Args:
        array: Array of any shape.
    """
    values = array.ravel()[:_SHOWN]
    shown = [f"{value:.4g}" if array.dtype.kind == "f" else str(value) for value in values]
    return ", ".join(shown) + (", ..." if array.size > _SHOWN else "")


def _statistics(array: NDArray[Any]) -> tuple[str, str, str]:
    if not array.size or array.dtype.kind not in "fiub":
        return "", "", ""
    wide = array.astype(np.float64)
    return f"{wide.min():.3g}", f"{wide.max():.3g}", f"{wide.mean():.3g}"


def _shape(shape: tuple[int | str | None, ...]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"
