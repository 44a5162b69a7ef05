"""``webinfer demo``: a sentence-embedding model answers from a browser, next to native onnxruntime."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import numpy as np
import typer
from numpy.typing import NDArray

from webinfer import Accelerator, Capabilities, Model, Options, Result
from webinfer.api.services.browsers import find
from webinfer.api.services.models import ModelPackage, normalize, resolve, sentence_vectors
from webinfer.api.services.native import NativeSession
from webinfer.cli.command import command
from webinfer.cli.output.progress import Steps
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.views import demo as demo_view
from webinfer.cli.views.demo import Demonstration

MODEL = "wheel:all-MiniLM-L6-v2"
SENTENCES = (  # in pairs of similar meaning
    "A cat sleeps by the window.",
    "The kitten naps in the sun.",
    "The bank raised its rates.",
    "Borrowing costs more now.",
    "Simmer the lentils gently.",
    "How long do I cook lentils?",
)
ROUNDS = 10
PATIENCE = 20.0  # seconds after which no more rounds start
FEWEST = 3

_EXAMPLES = """
webinfer demo
webinfer demo --browser firefox --platform wasm
webinfer demo --platform webgpu --json
"""

T = TypeVar("T")
Tokens = Mapping[str, NDArray[Any]]


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: The command line.
    """
    command(app, "demo", flags=("browser", "executable", "platform", "threads"), examples=_EXAMPLES)(demo)


def demo(
    terminal: Terminal,
    options: Options,
    model: Annotated[str, typer.Option("--model", "-m", help="A sentence-embedding model.", metavar="MODEL")] = MODEL,
) -> None:
    """Embed sentences in a browser; show what did it, and how fast.

    The same model answers in native onnxruntime on this machine, for comparison. Every figure is measured during
    the call. The model's weights are prepared once and kept in the cache directory.
    """
    with terminal.steps() as steps:
        demonstration = demonstrate(options, model, steps)
    if terminal.json:
        terminal.emit(demonstration.to_dict())
    else:
        terminal.show(demo_view.view(demonstration))


def demonstrate(options: Options, reference: str, steps: Steps) -> Demonstration:
    """Embed the sentences in a browser and natively, in turns.

    Args:
        options: Options of the accelerator.
        reference: The model.
        steps: Shows the progress.

    Returns:
        What was observed.

    Raises:
        WebinferError: The model cannot be loaded, the browser does not start, or the model does not embed text.
    """
    installation = find(options.browser, options.executable)  # first, because the next steps may take a minute
    package = resolve(reference, progress=steps)
    threads = options.threads or os.cpu_count() or 1
    with closing(Accelerator(replace(options, threads=threads))) as accelerator:
        with steps.step(f"start {installation.name}"):
            capabilities, browser_start = _timed(accelerator.start)
        began = time.time()
        model, load = _timed(lambda: accelerator.load(reference, progress=steps))
        tokens = _tokenize(model)
        with steps.step("first run"):
            first, first_run = _timed(lambda: model.run(tokens))
            ours = model.embed(SENTENCES)
        with steps.step("native onnxruntime"):
            native = NativeSession(package, threads)
            theirs = normalize(sentence_vectors(native.run(tokens), tokens["attention_mask"]))
        with steps.step("later runs, in turns with native ones"):
            later_runs, native_runs = take_turns(lambda: model.run(tokens), lambda: native.run(tokens))
        loaded = model.load()
    return Demonstration(
        **_observed(package, capabilities, first),
        similarity=(ours @ ours.T).tolist(),
        cosine_to_native=np.sum(ours * theirs, axis=1).tolist(),
        threads=threads,
        browser_start=browser_start,
        load=load,
        fetch=loaded.fetch,
        create=loaded.create,
        check=first.accuracy.seconds if first.accuracy.at >= began else 0.0,
        first_run=first_run,
        later_runs=later_runs,
        native=f"onnxruntime {native.version}",
        native_runs=native_runs,
    )


def _observed(package: ModelPackage, capabilities: Capabilities, result: Result) -> dict[str, Any]:
    """Return the facts of the model, the browser and a result."""
    return {
        "reference": package.reference,
        "model": result.model,
        "weights": result.weights,
        "nbytes": package.nbytes,
        "sentences": SENTENCES,
        "browser": result.browser,
        "engine": result.engine,
        "engine_version": result.engine_version,
        "system": capabilities.platform,
        "runtime": result.runtime,
        "adapter": str(capabilities.adapter) if capabilities.adapter else None,
        "asked": result.asked,
        "backend": result.backend,
        "backends": capabilities.backends,
        "verdict": result.verdict,
        "shape": result.shape,
    }


def _tokenize(model: Model) -> Tokens:
    """Return the sentences as one batch of the inputs that the model takes."""
    encoded = model.tokenizer.encode(list(SENTENCES))
    return {spec.name: encoded[spec.name] for spec in model.package.signature.inputs if spec.name in encoded}


def take_turns(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Measure two functions in turns, so that other load on the machine affects both alike.

    Args:
        ours: Runs the model in the browser.
        theirs: Runs it natively.

    Returns:
        Seconds of each run in the browser, and of each native run.
    """
    browser_runs: list[float] = []
    native_runs: list[float] = []
    end = time.perf_counter() + PATIENCE
    while len(browser_runs) < ROUNDS and (len(browser_runs) < FEWEST or time.perf_counter() < end):
        browser_runs.append(_timed(ours)[1])
        native_runs.append(_timed(theirs)[1])
    return browser_runs, native_runs


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what a function returns, and its time in seconds."""
    began = time.perf_counter()
    answer = work()
    return answer, time.perf_counter() - began
