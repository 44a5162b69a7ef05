"""Arguments that several commands take, with one wording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from webinfer.cli.completion import model_names

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="The model, as `webinfer run` takes it.",
        autocompletion=model_names,
        show_default=False,
    ),
]
PrecisionName = Annotated[str | None, typer.Option("--precision", help="Which precision of it.", show_default="fp32")]
PartName = Annotated[str | None, typer.Option("--part", help="Which part, of a model in several files.")]
NamedInputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        metavar="NAME=FILE|JSON",
        help="One input: a .npy file, or JSON; an image for pixel_values, a recording for input_values.",
        show_default=False,
    ),
]
ArrayFile = Annotated[Path | None, typer.Option("--npz", metavar="FILE", help="Inputs by name, in a .npz file.")]
JsonFile = Annotated[
    str | None,
    typer.Option("--json-input", metavar="FILE", help="Inputs by name, as a JSON object; - reads standard input."),
]
