"""``webinfer run --task``: a model's answer to a task, rather than its outputs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from webinfer import Accelerator, Options, Pipeline
from webinfer.cli.files import annotate
from webinfer.cli.files.inputs import read_json
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.views import task as task_view
from webinfer.cli.views.task import Answered
from webinfer.core.errors import MissingInput
from webinfer.pipelines import pipeline_class

_TWO_SIDES = {"sentence-similarity"}  # the first input is compared with the rest
_PICTURED = "object-detection"  # the task whose answer can be drawn
_NOTHING = "No inputs were given: {} takes text, or the path of a file, after the model's name."


def run_task(
    terminal: Terminal,
    options: Options,
    task: str,
    model: str,
    given: Sequence[str],
    json_input: str | None,
    parameters: Sequence[str],
    precision: str | Sequence[str] | None,
    repeat: int,
    output: Path | None = None,
) -> None:
    """Answer, and show the answer."""
    kind = pipeline_class(task)
    if kind.default is not None and not given and not json_input:
        if not _is_input(model):
            raise MissingInput(f"{_NOTHING.format(task)} There is no file {model!r} either.", file=model)
        model, given = kind.default, [model]
    inputs = gather(kind.task, given, json_input)
    if output is not None:
        _check_output(kind.task, inputs, output)
    named = read_parameters(parameters)
    with closing(Accelerator(options)) as accelerator:
        with terminal.steps() as steps:
            with steps.step("start the browser"):
                accelerator.start()
            began = time.perf_counter()
            pipeline = accelerator.pipeline(task, model, precision=precision, progress=steps, **named)
            load = time.perf_counter() - began
        told = kind.streams and not terminal.json and repeat == 1 and isinstance(inputs[0], str)
        if told:
            answered = streamed(terminal, pipeline, inputs, load)
        else:
            with terminal.steps() as steps, steps.step("answer"):
                answered = repeated(pipeline, inputs, load, repeat)
    if output is not None:
        annotate.draw(inputs[0], answered.answer, output)
    if terminal.json:
        terminal.emit(answered.to_dict() | ({} if output is None else {"output": output}))
    else:
        terminal.show(task_view.view(answered, told=told, picture=output))


def _check_output(task: str, inputs: tuple[Any, ...], output: Path) -> None:
    """Refuse a file to write where the answer is no picture.

    Raises:
        typer.BadParameter: The task is another, there are several images, or the file is no picture's.
    """
    if task != _PICTURED or not isinstance(inputs[0], str):
        raise typer.BadParameter(f"with --task it takes {_PICTURED} and one image", param_hint="--output")
    annotate.check(output)


def _is_input(argument: str) -> bool:
    """Tell whether the only argument is not the model but what to answer, such as a recording."""
    path = Path(argument).expanduser()
    return path.is_file() and path.suffix != ".onnx"


def repeated(pipeline: Pipeline, inputs: tuple[Any, ...], load: float, repeat: int) -> Answered:
    """Ask as often as wanted, and keep the last answer."""
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        answer = pipeline(*inputs)
        seconds.append(time.perf_counter() - began)
    assert pipeline.result is not None
    return Answered(pipeline.task, inputs, answer, pipeline.result, load, seconds)


def streamed(terminal: Terminal, pipeline: Pipeline, inputs: tuple[Any, ...], load: float) -> Answered:
    """Print an answer as it comes, behind what it goes on from."""
    began = time.perf_counter()
    terminal.out.print(Text(f"\n{inputs[0]}", style="quiet"), end="", soft_wrap=True)
    pieces = []
    for piece in pipeline.stream(*inputs):
        pieces.append(piece)
        terminal.out.print(Text(piece), end="", soft_wrap=True)
        sys.stdout.flush()
    terminal.out.print()
    assert pipeline.result is not None
    return Answered(pipeline.task, inputs, "".join(pieces), pipeline.result, load, [time.perf_counter() - began])


def gather(task: str, given: Sequence[str], json_input: str | None) -> tuple[Any, ...]:
    """Make a pipeline's inputs of what the command line brought.

    Raises:
        typer.BadParameter: Two kinds of input were mixed.
        MissingInput: There is none.
        InputError: A file cannot be read.
    """
    if given and json_input:
        raise typer.BadParameter("give either text, or --json-input", param_hint="inputs")
    if json_input:
        return (read_json(json_input),)
    if task in _TWO_SIDES and len(given) > 1:
        return given[0], list(given[1:])
    if not given:
        raise MissingInput(_NOTHING.format(task))
    return (given[0] if len(given) == 1 else list(given),)


def read_parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs; a value that is JSON counts as such, any other as text.

    Raises:
        typer.BadParameter: A pair has no name.
    """
    parameters = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} has no name: write top_k=3", param_hint="--set")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    return parameters
