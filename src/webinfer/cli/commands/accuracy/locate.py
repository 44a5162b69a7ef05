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
from webinfer.cli.arguments import ArrayFile, JsonFile, ModelName, NamedInputs, PartName, PrecisionName
from webinfer.cli.command import command
from webinfer.cli.commands.run import gather
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
    model: ModelName,
    inputs: NamedInputs = None,
    npz: ArrayFile = None,
    json_input: JsonFile = None,
    precision: PrecisionName = None,
    part: PartName = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go that show the fault.")
    ] = Path("webinfer-locate"),
) -> None:
    """Find the first node that a browser computes wrongly, and show it.

    The parts of the model run in the browser and in native onnxruntime. It writes the smallest ONNX file that shows
    the fault, its inputs, and a page that shows it with nothing but ONNX Runtime Web. Exits with 1 if there is a
    fault. Without inputs, it tries those that the gate makes up. The graph runs as it was exported: a fault of the
    runtime that webinfer works around is found, too.
    """
    given = cast(Mapping[str, Any], gather([], inputs or [], npz, json_input, False))
    # Each part of the model runs alone and is compared here, so nothing else is to take its place or be tried first.
    options = replace(options, accuracy="off", max_batch_size=1, warm_up=False, optimize_graphs=False)
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
