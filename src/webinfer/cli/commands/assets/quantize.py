"""``webinfer quantize``: quantize a model, and show what that gains and loses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webinfer.api.services.models import ORIGIN, SCHEMES, Method, ModelPackage, resolve
from webinfer.api.services.models import quantize as quantized
from webinfer.cli.command import command
from webinfer.cli.completion import model_names
from webinfer.cli.files.inputs import read_arrays, read_named
from webinfer.cli.files.outputs import fillable
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.output.units import size
from webinfer.core.errors import NotQuantizable
from webinfer.core.json import write_json

_EXAMPLES = """
webinfer quantize wheel:all-MiniLM-L6-v2 --precision q4
webinfer quantize wheel:all-MiniLM-L6-v2 --precision q8 --precision q2 --json
webinfer quantize model.onnx --precision q4 --output models/mine
webinfer quantize model.onnx --precision q4 --input x=array.npy
"""


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: The command line.
    """
    command(app, "quantize", examples=_EXAMPLES)(quantize)


def quantize(
    terminal: Terminal,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", autocompletion=model_names, help="Any name that 'run' takes, of a model in fp32."
        ),
    ],
    precision: Annotated[
        list[str],
        typer.Option("--precision", metavar="NAME", help=f"One of {', '.join(SCHEMES)}; may be given again."),
    ],
    method: Annotated[
        Method,
        typer.Option(help="Learn from inputs how to round, only search the weights' ranges, or round to the nearest."),
    ] = "calibrated",
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="NAME=FILE|JSON",
            help="One input to learn from and measure with, as 'run' takes it; without any, some are made up.",
            show_default=False,
        ),
    ] = None,
    npz: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Inputs by name, in a .npz file; may be given again, for more to learn from."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            callback=fillable,
            help="Copy it there, in the hub's layout, so that WEBINFER_MODELS finds it.",
        ),
    ] = None,
) -> None:
    """Bring a model to fewer bits; show sizes and losses.

    The result goes to the cache, where 'run --precision' and Accelerator.load find it. The loss is measured natively,
    with inputs that the quantizer did not use. The cosine is the smallest of all runs. A model in several files is
    quantized file by file.
    """
    named = read_named(inputs or [])
    given = [*(read_arrays(path) for path in npz or []), *([named] if named else [])]
    packages: list[ModelPackage] = []
    with terminal.steps() as steps:
        full = resolve(model, progress=steps)
        parts = [full, *(resolve(model, progress=steps, part=part) for part in full.parts[1:])]
        for name in precision:
            packages += [quantized(part, name, method=method, inputs=given, progress=steps) for part in parts]
    if output is not None:
        for package in packages:
            _copy(package, output)
    if terminal.json:
        terminal.emit({"model": model, "output": output, "made": [_facts(package) for package in packages]})
    else:
        terminal.show(_view(packages, output))


def _facts(package: ModelPackage) -> dict[str, Any]:
    return {**package.quantized, "path": package.model.path, "sha256": package.sha256, "cid": package.cid}


def _copy(package: ModelPackage, output: Path) -> None:
    """Copy a model into a directory, and add it to the note there, which may list other models already.

    Raises:
        NotQuantizable: The directory cannot be written.
    """
    source = package.model.path.parent.parent
    note = output / ORIGIN
    try:
        before = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
        shutil.copytree(source, output, dirs_exist_ok=True)
        after = json.loads(note.read_text(encoding="utf-8"))
        after["quantized"] = {**before.get("quantized", {}), **after["quantized"]}
        write_json(note, {**before, **after}, indent=2)
    except OSError as error:
        raise NotQuantizable(f"{output} cannot be written: {error.strerror}.", reason="output") from error


def _losses(loss: Mapping[str, Any]) -> tuple[str, str, str]:
    if not loss:
        return "-", "-", "-"
    return f"{loss['cosine']:.5f}", f"{loss['relative_error']:.4f}", f"{loss['agreement']:.1%}"


def _view(packages: list[ModelPackage], output: Path | None) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="label", overflow="fold")
    heads = ("", "before", "after", "ratio", "cosine", "relative error", "same top")
    for _ in heads[1:]:
        table.add_column(justify="right", no_wrap=True)
    table.add_row(*(Text(head, style="quiet") for head in heads))
    for package in packages:
        facts = package.quantized
        table.add_row(
            f"{package.model.path.stem}, {facts['precision']}",
            size(facts["nbytes_before"]),
            size(facts["nbytes"]),
            f"{facts['nbytes_before'] / facts['nbytes']:.1f}x",
            *_losses(facts["loss"]),
        )
    facts = packages[-1].quantized
    methods = ", ".join(f"{count} {method}" for method, count in facts["methods"].items())
    lines = [Text(f"Measured with {facts['inputs']}{f'; weights: {methods}' if methods else ''}.", style="quiet")]
    left = [f"{name} ({why})" for name, why in list(facts["left"].items())[:5]]
    if left:
        lines.append(Text(f"Not quantized: {'; '.join(left)}.", style="quiet"))
    if output is not None:
        lines.append(Text(f"Written to {output}.", style="quiet"))
    return Padding(Group(Text(packages[-1].name, style="title"), table, *lines), (1, 0, 1, 2), expand=False)
