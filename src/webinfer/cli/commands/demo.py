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
SENTENCES = (  # in pairs that mean alike
    "A cat sleeps by the window.",
    "The kitten naps in the sun.",
    "The bank raised its rates.",
    "Borrowing costs more now.",
    "Simmer the lentils gently.",
    "How long do I cook lentils?",
)
ROUNDS = 10
PATIENCE = 20.0  # seconds of measuring after which fewer rounds must do
FEWEST = 3

_EXAMPLES = """
webinfer demo
webinfer demo --browser firefox --platform wasm
webinfer demo --platform webgpu --json
"""

T = TypeVar("T")
Tokens = Mapping[str, NDArray[Any]]


def register(app: typer.Typer) -> None:
    """Add the command."""
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
        seen = demonstrate(options, model, steps)
    if terminal.json:
        terminal.emit(seen.to_dict())
    else:
        terminal.show(demo_view.view(seen))


def demonstrate(options: Options, reference: str, steps: Steps) -> Demonstration:
    """Embed the sentences in a browser and natively, in turns.

    Raises:
        WebinferError: The model or the browser could not be had, or the model is none that embeds text.
    """
    installation = find(options.browser, options.executable)  # first, because what follows may take a minute
    package = resolve(reference, progress=steps)
    threads = options.threads or os.cpu_count() or 1
    with closing(Accelerator(replace(options, threads=threads))) as accelerator:
        with steps.step(f"start {installation.name}"):
            capabilities, browser_start = timed(accelerator.start)
        model, load = timed(lambda: accelerator.load(reference, progress=steps))
        tokens = tokenize(model)
        with steps.step("first run"):
            first, first_run = timed(lambda: model.run(tokens))
            ours = model.embed(SENTENCES)
        with steps.step("native onnxruntime"):
            native = NativeSession(package, threads)
            theirs = normalize(sentence_vectors(native.run(tokens), tokens["attention_mask"]))
        with steps.step("later runs, in turns with native ones"):
            later_runs, native_runs = take_turns(lambda: model.run(tokens), lambda: native.run(tokens))
        loaded = model.load()
    return Demonstration(
        **observed(package, capabilities, first),
        similarity=(ours @ ours.T).tolist(),
        cosine_to_native=np.sum(ours * theirs, axis=1).tolist(),
        threads=threads,
        browser_start=browser_start,
        load=load,
        fetch=loaded.fetch,
        create=loaded.create,
        first_run=first_run,
        later_runs=later_runs,
        native=f"onnxruntime {native.version}",
        native_runs=native_runs,
    )


def observed(package: ModelPackage, capabilities: Capabilities, result: Result) -> dict[str, Any]:
    """Return what the model, the browser and a result say of themselves."""
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


def tokenize(model: Model) -> Tokens:
    """Return the sentences as one batch of the inputs that the model takes."""
    encoded = model.tokenizer.encode(list(SENTENCES))
    return {spec.name: encoded[spec.name] for spec in model.package.signature.inputs if spec.name in encoded}


def take_turns(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Measure two things in turns, so that whatever else the machine does meets both alike."""
    mine: list[float] = []
    others: list[float] = []
    end = time.perf_counter() + PATIENCE
    while len(mine) < ROUNDS and (len(mine) < FEWEST or time.perf_counter() < end):
        mine.append(timed(ours)[1])
        others.append(timed(theirs)[1])
    return mine, others


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what a call returns, and the seconds that it took."""
    began = time.perf_counter()
    made = work()
    return made, time.perf_counter() - began
