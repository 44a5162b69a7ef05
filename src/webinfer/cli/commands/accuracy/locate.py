"""``webinfer locate``: find the first node that a browser computes otherwise than native onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from webinfer import Accelerator, Options
from webinfer.api.services.locate import locate as find_fault
from webinfer.api.services.models import obtain
from webinfer.cli.command import command
from webinfer.cli.commands.run import gather
from webinfer.cli.completion import model_names
from webinfer.cli.output.terminal import FAILED, Terminal
from webinfer.cli.views.accuracy.locate import to_dict, view
from webinfer.core.options import Backend

_FLAGS = ("browser", "executable", "platform", "threads", "load_timeout", "run_timeout")
_EXAMPLES = """
webinfer locate model.onnx --platform webnn
webinfer locate model.onnx --platform webgpu --browser firefox --input x=array.npy --output report
"""


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: The command line.
    """
    command(app, "locate", flags=_FLAGS, examples=_EXAMPLES)(locate)


def locate(
    terminal: Terminal,
    options: Options,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="The model, as `webinfer run` takes it.",
            autocompletion=model_names,
            show_default=False,
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="NAME=FILE|JSON",
            help="An input that shows the fault, as `webinfer run` takes it.",
            show_default=False,
        ),
    ] = None,
    npz: Annotated[Path | None, typer.Option(metavar="FILE", help="The inputs, in a .npz file.")] = None,
    json_input: Annotated[
        str | None, typer.Option(metavar="FILE", help="The inputs, as a JSON object; - reads standard input.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="Which precision of it.", show_default="fp32")
    ] = None,
    part: Annotated[str | None, typer.Option("--part", help="Which part, of a model in several files.")] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go that show the fault.")
    ] = Path("webinfer-locate"),
) -> None:
    """Find the first node that a browser computes wrongly, and show it.

    The parts of the model run in the browser and in native onnxruntime. It writes the smallest ONNX file that shows
    the fault, its inputs, and a page that shows it with nothing but ONNX Runtime Web. Exits with 1 if there is a
    fault. Without inputs, some are made up.
    """
    given = cast(Mapping[str, Any], gather([], inputs or [], npz, json_input, False))
    # Each part of the model runs alone and is compared here, so nothing else is to take its place or be tried first.
    options = replace(options, accuracy="off", max_batch_size=1, warm_up=False)
    with terminal.steps() as steps, closing(Accelerator(options)) as accelerator:
        package = obtain(model, progress=steps, precision=precision, part=part)
        with steps.step("start the browser"):
            capabilities = accelerator.start()
        backend: Backend = options.platform if options.platform != "auto" else capabilities.choose()
        with steps.step(f"look for the first wrong node on {backend}"):
            fault = find_fault(accelerator, package, backend, output, given or None)
    if terminal.json:
        terminal.emit(to_dict(package.name, backend, fault))
    else:
        terminal.show(view(package.name, backend, fault))
    if fault is not None:
        raise typer.Exit(FAILED)
