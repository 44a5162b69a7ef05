"""``webinfer models``: which models there are, and which of them lie ready."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webinfer.cache import cache_dir
from webinfer.cli.command import command
from webinfer.cli.layout import heading
from webinfer.cli.terminal import Terminal
from webinfer.cli.units import size
from webinfer.errors import WebinferError
from webinfer.models import ModelPackage, hub, resolve
from webinfer.models.directory import VARIABLE, names
from webinfer.models.package import ORIGIN
from webinfer.models.sources import listed

_EXAMPLES = """
webinfer models
WEBINFER_MODELS=~/models webinfer models --json
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that can be named.

    Attributes:
        reference: What to name it by.
        package: The model, where it lies ready and can be read.
        error: Why it cannot.
    """

    reference: str
    package: ModelPackage | None = None
    error: WebinferError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        told: dict[str, Any] = {"reference": self.reference, "ready": self.package is not None}
        if self.error is not None:
            told["error"] = self.error.to_dict()
        if self.package is not None:
            attributes = ("name", "sha256", "nbytes", "family", "weights", "precision", "origin", "available")
            told |= {name: getattr(self.package, name) for name in attributes}
            told |= {"path": self.package.model.path, "tokenizer": self.package.tokenizer is not None}
        return told


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "models", examples=_EXAMPLES)(models)


def models(terminal: Terminal) -> None:
    """List the models that can be named, and which of them lie ready.

    A path of an ONNX file, or of a directory with onnx/model.onnx in it, names a model as well.
    """
    with terminal.steps() as steps, steps.step("read what there is", brief=True):
        entries = list(entries_here())
    cache = cache_dir()
    if terminal.json:
        known = {"cache": cache, "cache_nbytes": weigh(cache), VARIABLE: os.environ.get(VARIABLE)}
        terminal.emit({**known, "models": [entry.to_dict() for entry in entries]})
    else:
        terminal.show(_view(entries, cache))


def entries_here() -> Iterator[Entry]:
    """Yield every model that can be listed; those that would have to be built or fetched first are not opened."""
    own = set(names())
    references = listed()
    ready = prepared(references) | {f"hf:{name}": path for name, path in hub.cached().items()}
    for reference in references:
        openable = reference if reference in own else ready.get(reference)
        yield _open(reference, openable) if openable is not None else Entry(reference)


def prepared(references: list[str]) -> dict[str, Path]:
    """Return the directories of the models that were built or fetched into the cache, by reference."""
    ready = {}
    for reference in sorted(references, key=len):  # the longest name that fits a directory is its own
        scheme, _, name = reference.partition(":")
        for note in cache_dir().glob(f"models/{scheme}/{name}-*/{ORIGIN}"):
            ready[note.parent] = reference
    return {reference: directory for directory, reference in ready.items()}


def weigh(directory: Path) -> int:
    """Return the bytes that the files in a directory take."""
    return sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir())


def _open(reference: str, place: str | Path) -> Entry:
    try:
        return Entry(reference, resolve(place))
    except WebinferError as error:
        return Entry(reference, error=error)


def _view(entries: list[Entry], cache: Path) -> RenderableType:
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="label", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for entry in entries:
        table.add_row(entry.reference, *_row(entry))
    roots = os.environ.get(VARIABLE)
    where = Text(
        f"{VARIABLE}: {roots}" if roots else f"{VARIABLE}, which names directories of models, is not set.", "quiet"
    )
    taken = Text.assemble(f"Cache: {cache}, {size(weigh(cache))}", style="quiet")
    return Padding(
        Group(Text("Models", style="title"), table, heading("Where they are"), where, taken), (1, 0, 1, 2), expand=False
    )


def _row(entry: Entry) -> tuple[Text, Text, Text]:
    if entry.error is not None:
        return Text(""), Text("broken", style="bad"), Text(str(entry.error))
    if entry.package is None:
        return Text(""), Text("not here yet", style="quiet"), Text("made on first use", style="quiet")
    package = entry.package
    about = f"{package.family.replace('_', ' ')}, {package.weights} weights, {package.precision}"
    return Text(size(package.nbytes)), Text("ready", style="good"), Text(about)
