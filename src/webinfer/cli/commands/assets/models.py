"""``webinfer models``: the known models, and which of them are ready."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webinfer.api.services.models import VARIABLE, ListedModel, cache_dir, listed_models, model_roots, remove, weigh
from webinfer.cli.command import HELP, command
from webinfer.cli.output.layout import heading
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.output.units import size

_EXAMPLES = """
webinfer models
WEBINFER_MODELS=~/models webinfer models --json
webinfer models rm random:gpt2 ipfs://CID
"""
_REMOVE_EXAMPLES = """
webinfer models rm random:bert-base-uncased
webinfer models rm hf:Xenova/all-MiniLM-L6-v2 --json
"""


def register(app: typer.Typer) -> None:
    """Add the commands.

    Args:
        app: The command line.
    """
    group = typer.Typer(name="models", context_settings=HELP, rich_markup_mode=None)
    command(group, "models", examples=_EXAMPLES, default=True)(models)
    command(group, "rm", examples=_REMOVE_EXAMPLES)(rm)
    app.add_typer(group)


def models(terminal: Terminal) -> None:
    """List the known models, and which of them are ready.

    A ready model is shown with its size, its family, and the shortened CID of its files; --json has the whole CID. The
    path of an ONNX file, or of a directory with onnx/model.onnx in it, is a model's name too.
    """
    with terminal.steps() as steps, steps.step("read what there is", brief=True):
        listed = list(listed_models())
    cache = cache_dir()
    if terminal.json:
        known = {"cache": cache, "cache_nbytes": weigh(cache), VARIABLE: model_roots()}
        terminal.emit({**known, "models": [entry.to_dict() for entry in listed]})
    else:
        terminal.show(_view(listed, cache))


def rm(
    terminal: Terminal,
    references: Annotated[
        list[str], typer.Argument(metavar="REFERENCE...", help="As 'webinfer models' lists them.", show_default=False)
    ],
) -> None:
    """Remove models from the caches; they can be fetched or built again.

    Models of the Hugging Face hub are removed from the cache that other programs share. Files under WEBINFER_MODELS are
    yours, and stay.
    """
    freed = {reference: remove(reference) for reference in references}
    if terminal.json:
        terminal.emit({"removed": [{"reference": name, "nbytes": nbytes} for name, nbytes in freed.items()]})
        return
    for name, nbytes in freed.items():
        terminal.show(Text.assemble(f"{name}  ", (f"{size(nbytes)} freed", "quiet")))


def _view(listed: list[ListedModel], cache: Path) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="label", overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for _ in ("family", "weights", "CID"):
        table.add_column(no_wrap=True)
    ready = [entry for entry in listed if entry.package is not None or entry.error is not None]
    table.add_row("", *(Text(head, style="quiet") for head in ("size", "family", "weights", "CID")))
    for entry in ready:
        table.add_row(entry.reference, *_row(entry))
    rest = [entry.reference for entry in listed if entry not in ready]
    more = [heading("Fetched or built on first use"), Text(", ".join(rest), style="quiet")] if rest else []
    roots = model_roots()
    where = Text(
        f"{VARIABLE}: {roots}" if roots else f"{VARIABLE}, which names directories of models, is not set.", "quiet"
    )
    taken = Text.assemble(f"Cache: {cache}, {size(weigh(cache))}", style="quiet")
    return Padding(
        Group(Text("Models that are ready", style="title"), table, *more, heading("Where they are"), where, taken),
        (1, 0, 1, 2),
        expand=False,
    )


def _row(entry: ListedModel) -> tuple[Text, ...]:
    if entry.package is None:
        return Text("broken", style="bad"), Text(entry.error.code if entry.error else "")
    package = entry.package
    return (
        Text(size(package.nbytes)),
        Text(package.family.replace("_", " ")),
        Text(f"{package.weights}, {package.precision}"),
        Text(f"{package.cid[:4]}...{package.cid[-6:]}", style="quiet"),
    )
