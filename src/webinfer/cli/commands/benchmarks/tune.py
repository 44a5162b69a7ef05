"""``webinfer tune``: find the fastest way to run a model on this machine. ``auto`` takes it from then on."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Annotated, Any, cast

import typer

from webinfer import Accelerator, Options
from webinfer.cli.arguments import ArrayFile, JsonFile, ModelName, NamedInputs, PartName
from webinfer.cli.command import command, split
from webinfer.cli.commands.run import gather
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.views.tune import ContestBar, view
from webinfer.core.errors import OptionError
from webinfer.core.options import BACKENDS, Backend, BrowserName, ManyName

_FLAGS = ("executable", "db_path", "audio_shaders", "load_timeout", "run_timeout")
_EXAMPLES = """
webinfer tune wheel:all-MiniLM-L6-v2
webinfer tune wheel:all-MiniLM-L6-v2 --browser embedded,firefox --precision fp32,int8
webinfer tune model.onnx --platform wasm --lanes 1,2 --threads auto,1,2 --budget 30
webinfer tune ./model --text "A typical request." --batch 1,8 --json
"""


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: The command line.
    """
    command(app, "tune", flags=_FLAGS, examples=_EXAMPLES)(tune)


def tune(
    terminal: Terminal,
    options: Options,
    model: ModelName,
    budget: Annotated[
        float,
        typer.Option(min=1.0, metavar="SECONDS", help="Time for the contest; fetching files takes time in addition."),
    ] = 60.0,
    browsers: Annotated[
        list[str] | None,
        typer.Option("--browser", "-b", metavar="NAME,...", help="Browsers, or all.", show_default="auto"),
    ] = None,
    platforms: Annotated[
        list[str] | None,
        typer.Option("--platform", "-p", metavar="NAME,...", help="webgpu, webnn, wasm.", show_default="all"),
    ] = None,
    precisions: Annotated[
        list[str] | None,
        typer.Option(
            "--precision", metavar="NAME,...", help="fp32, fp16, q8, int8, q4 or others.", show_default="full"
        ),
    ] = None,
    lanes: Annotated[
        list[str] | None,
        typer.Option("--lanes", metavar="N,...", help="Numbers of lanes.", show_default="1"),
    ] = None,
    threads: Annotated[
        list[str] | None,
        typer.Option(
            "--threads",
            metavar="N,...",
            help="WebAssembly threads of a lane; auto shares the cores out.",
            show_default="auto",
        ),
    ] = None,
    batches: Annotated[
        list[str] | None,
        typer.Option("--batch", metavar="N,...", help="Requests that run together at most.", show_default="1"),
    ] = None,
    part: PartName = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", "-t", metavar="TEXT", help="A typical request, as text.", show_default=False),
    ] = None,
    inputs: NamedInputs = None,
    npz: ArrayFile = None,
    json_input: JsonFile = None,
) -> None:
    """Find the fastest way to run a model here; auto takes it then.

    Every combination of what is allowed is a candidate, in a browser of its own. Candidates take turns, and slow ones
    drop out. Each must answer as native onnxruntime does. Pass a typical request, or one is generated.
    """
    request = gather(text or [], inputs or [], npz, json_input, embed=False) or None
    allowed: dict[str, Any] = {
        "platforms": _platforms(split(platforms)),
        "precisions": split(precisions) or None,
        "lanes": _numbers("lanes", lanes),
        "threads": _numbers("threads", threads),
        "batch_sizes": _numbers("batch", batches),
    }
    with (
        ContestBar(terminal) as bar,
        closing(Accelerator(with_browsers(options, split(browsers)))) as accelerator,
    ):
        bar.show("load the model")
        first = allowed["precisions"][0] if allowed["precisions"] else None
        loaded = accelerator.load(model, part=part, precision=first, fallback=True, progress=bar.load)
        tuning = loaded.tune(budget, inputs=request, progress=bar, **allowed)
    if terminal.json:
        terminal.emit(tuning.to_dict())
    else:
        terminal.show(view(tuning))


def with_browsers(options: Options, names: tuple[str, ...]) -> Options:
    """Return options with the browsers that may be tried.

    Args:
        options: The options.
        names: Names of browsers, or ``all``; empty for the first one found.

    Raises:
        OptionError: There is no such browser, or an executable was named for several.
    """
    if not names:
        return options
    if len(names) == 1 and names[0] != "all":
        return replace(options, browser=cast(BrowserName, names[0]))
    return replace(options, browsers=cast(tuple[ManyName, ...], names))


def _platforms(names: tuple[str, ...]) -> tuple[Backend, ...] | None:
    """Return the backends of a flag; ``None`` allows every one.

    Raises:
        OptionError: There is no such backend.
    """
    if not names or names in (("all",), ("auto",)):
        return None
    for name in names:
        if name not in (*BACKENDS, "all"):  # Said here, before a model is fetched and a browser started for nothing.
            raise OptionError(f"--platform takes {', '.join(BACKENDS)} or all, not {name!r}.", option="platforms")
    return cast(tuple[Backend, ...], tuple(BACKENDS) if "all" in names else names)


def _numbers(name: str, values: list[str] | None) -> tuple[int | None, ...] | None:
    """Return the whole numbers of a flag; ``auto`` threads are ``None``.

    Raises:
        OptionError: One is no whole number.
    """
    texts = split(values)
    for text in texts:
        if not text.isdecimal() and not (name == "threads" and text == "auto"):
            raise OptionError(f"--{name} takes whole numbers, not {text!r}.", option=name)
    return tuple(int(text) if text.isdecimal() else None for text in texts) or None
