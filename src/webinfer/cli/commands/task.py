"""``webinfer run --task``: a model's answer to a task, instead of its outputs."""

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
_NOTHING = "There are no inputs: {} takes text, or the path of a file, after the model's name."


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
    """Answer a task, and show the answer.

    Args:
        terminal: Where to print.
        options: Options of the accelerator.
        task: Name of the task.
        model: The model; or the input, for a task with a default model.
        given: The task's inputs.
        json_input: File of JSON with the input, or ``-``.
        parameters: Parameters as ``name=value``.
        precision: Precision of the model, or several to choose from.
        repeat: Number of answers, for the times.
        output: File for the annotated image.

    Raises:
        MissingInput: There is no input.
        WebinferError: The model cannot be loaded or run.
    """
    kind = pipeline_class(task)
    if kind.default is not None and not given and not json_input:
        if not _is_input(model):
            raise MissingInput(f"{_NOTHING.format(task)} There is no file {model!r} either.", file=model)
        model, given = kind.default, [model]
    inputs = gather(kind.task, given, json_input)
    if output is not None:
        _check_output(kind.task, inputs, output)
    named = _read_parameters(parameters)
    with closing(Accelerator(options)) as accelerator:
        with terminal.steps() as steps:
            with steps.step("start the browser"):
                accelerator.start()
            began = time.perf_counter()
            pipeline = accelerator.pipeline(task, model, precision=precision, progress=steps, **named)
            load = time.perf_counter() - began
        printed = kind.streams and not terminal.json and repeat == 1 and isinstance(inputs[0], str)
        if printed:
            answered = _stream(terminal, pipeline, inputs, load)
        else:
            with terminal.steps() as steps, steps.step("answer"):
                answered = _answer_repeatedly(pipeline, inputs, load, repeat)
    if output is not None:
        annotate.draw(inputs[0], answered.answer, output)
    if terminal.json:
        terminal.emit(answered.to_dict() | ({} if output is None else {"output": output}))
    else:
        terminal.show(task_view.view(answered, printed=printed, picture=output))


def _check_output(task: str, inputs: tuple[Any, ...], output: Path) -> None:
    """Refuse an output file if the task's answer cannot be drawn.

    Raises:
        typer.BadParameter: The task is not object detection, there are several images, or the file is not an image's.
    """
    if task != _PICTURED or not isinstance(inputs[0], str):
        raise typer.BadParameter(f"with --task it takes {_PICTURED} and one image", param_hint="--output")
    annotate.check(output)


def _is_input(argument: str) -> bool:
    """Return whether the only argument is an input, such as a recording, instead of a model."""
    path = Path(argument).expanduser()
    return path.is_file() and path.suffix != ".onnx"


def _answer_repeatedly(pipeline: Pipeline, inputs: tuple[Any, ...], load: float, repeat: int) -> Answered:
    """Return the times and the last answer of ``repeat`` calls."""
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        answer = pipeline(*inputs)
        seconds.append(time.perf_counter() - began)
    assert pipeline.result is not None
    return Answered(pipeline.task, inputs, answer, pipeline.result, load, seconds)


def _stream(terminal: Terminal, pipeline: Pipeline, inputs: tuple[Any, ...], load: float) -> Answered:
    """Return an answer that is printed piece by piece, after its prompt."""
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
    """Combine the command line's inputs into those of a pipeline.

    Args:
        task: Name of the task.
        given: Texts or paths.
        json_input: File of JSON, or ``-``.

    Returns:
        Arguments of the pipeline.

    Raises:
        typer.BadParameter: Two kinds of input were mixed.
        MissingInput: There is none.
        InputError: A file cannot be read.
    """
    if given and json_input:
        raise typer.BadParameter("pass either text or --json-input", param_hint="inputs")
    if json_input:
        return (read_json(json_input),)
    if task in _TWO_SIDES and len(given) > 1:
        return given[0], list(given[1:])
    if not given:
        raise MissingInput(_NOTHING.format(task))
    return (given[0] if len(given) == 1 else list(given),)


def _read_parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """Return parameters from ``name=value`` pairs. A value is read as JSON if it is JSON, else as text.

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
