"""``webinfer doctor``: what each browser on this machine can do, found out by doing it."""

from __future__ import annotations

import os
import platform
import time
from contextlib import closing
from dataclasses import replace
from typing import Annotated, Any, cast

import numpy as np
import typer

import webinfer
from webinfer import Accelerator, Capabilities, Model, Options, Verdict, WebinferError
from webinfer.api.services.browsers import GETTING, Installation, find, find_all, uses_gpu, version
from webinfer.api.services.models import probe_model
from webinfer.api.services.native import compare, fault, limits_for, run_native
from webinfer.cli.command import command
from webinfer.cli.output.progress import Steps
from webinfer.cli.output.terminal import FAILED, Terminal
from webinfer.cli.views import doctor as doctor_view
from webinfer.cli.views.doctor import Examination, Trial
from webinfer.core.capabilities import Speeds
from webinfer.core.errors import RunFailed
from webinfer.core.options import BACKENDS, Backend, BrowserName

_EXAMPLES = """
webinfer doctor
webinfer doctor --browser firefox
webinfer doctor --executable /opt/chrome/chrome --json
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "doctor", flags=("executable", "headless", "launch_timeout"), examples=_EXAMPLES)(doctor)


def doctor(
    terminal: Terminal,
    options: Options,
    browser: Annotated[
        BrowserName | None, typer.Option("--browser", "-b", help="Only this one.", show_default="all")
    ] = None,
) -> None:
    """Try every backend of every browser found, on a small model.

    A backend works when it created a session, ran the model and gave the right answer. A WebGPU adapter is timed as
    well, for about a second, against one thread of WebAssembly. Exits with 0 when at least one works in one browser.
    """
    everything = browser is None and options.executable is None
    installations = find_all() if everything else [find(browser or "auto", options.executable)]
    with terminal.steps() as steps:
        examined = [examine(installation, options, steps) for installation in installations]
    missing = absent(installations) if everything else {}
    if terminal.json:
        terminal.emit({**machine(), "browsers": [one.to_dict() for one in examined], "missing": missing})
    else:
        terminal.show(doctor_view.view(machine(), examined, missing))
    if not any(one.works for one in examined):
        raise typer.Exit(FAILED)


def machine() -> dict[str, Any]:
    """Return what we run on."""
    return {
        "webinfer": webinfer.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count() or 1,
    }


def absent(installations: list[Installation]) -> dict[str, str]:
    """Return how to get each browser that is not there, by name."""
    there = {installation.name for installation in installations}
    return {name: way for name, way in GETTING.items() if name not in there}


def examine(installation: Installation, options: Options, steps: Steps) -> Examination:
    """Start a browser, ask what it can do and try its backends. Whatever fails is part of the answer."""
    with steps.step(f"examine {installation.name}"):
        seen = Examination(installation=installation, version=version(installation))
        with closing(Accelerator(chosen(installation, options))) as accelerator:
            try:
                fill(seen, accelerator, steps)
            except WebinferError as error:
                seen.error = error
    return seen


def fill(seen: Examination, accelerator: Accelerator, steps: Steps) -> None:
    """Find out what there is to find out about a browser.

    Raises:
        WebinferError: It did not start.
    """
    name = seen.installation.name
    with steps.step(f"start {name}", brief=True):
        began = time.perf_counter()
        seen.capabilities = accelerator.start()
        seen.start = time.perf_counter() - began
    for backend in BACKENDS:
        with steps.step(f"try {backend} in {name}", brief=True):
            seen.trials.append(attempt(accelerator, backend, seen.capabilities))
    seen.gpu = next((uses_gpu(running.pid) for running in accelerator.snapshot().browsers), None)


def chosen(installation: Installation, options: Options) -> Options:
    """Return options for a certain browser."""
    executable = installation.executable if installation.source == "explicit" else None
    return replace(options, browser=cast(BrowserName, installation.name), executable=executable)


def attempt(accelerator: Accelerator, backend: Backend, capabilities: Capabilities) -> Trial:
    """Load the probe on a backend, run it, and compare its answer."""
    inputs = {"x": np.array([[1, 2, 3, 4]], np.float32)}
    try:
        model = accelerator.load(probe_model(), platform=backend)
        result = model.run(inputs)
    except WebinferError as error:
        return Trial(backend=backend, verdict=capabilities.verdict(backend), error=error)
    deviations = compare(result.outputs, run_native(model.package, inputs))
    wrong = fault(deviations, limits_for("fp32"))  # small whole numbers, which any precision holds
    off = max(deviation.largest for deviation in deviations)
    failed = RunFailed(f"It ran and gave a wrong answer: {wrong}.", off=off) if wrong else None
    verdict, speeds = timed(accelerator, model)
    return Trial(
        backend=backend,
        verdict=verdict.over(result.placement),
        error=failed,
        load=model.load().seconds,
        run=result.times.run,
        placement=result.placement,
        speeds=speeds,
    )


def timed(accelerator: Accelerator, model: Model) -> tuple[Verdict, Speeds | None]:
    """Have the adapter that a model runs on timed, where it runs on one."""
    verdict = model.prove_hardware()
    return verdict, accelerator.start().speeds if model.backend == "webgpu" else None
