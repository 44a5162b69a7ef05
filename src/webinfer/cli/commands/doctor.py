"""``webinfer doctor``: try what each browser on this machine can do."""

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
    """Add the command.

    Args:
        app: The command line.
    """
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

    Raises:
        Exit: No backend works in any browser; with exit code 1.
    """
    everything = browser is None and options.executable is None
    installations = find_all() if everything else [find(browser or "auto", options.executable)]
    with terminal.steps() as steps:
        examined = [_examine(installation, options, steps) for installation in installations]
    missing = missing_browsers(installations) if everything else {}
    if terminal.json:
        terminal.emit(
            {**machine(), "browsers": [examination.to_dict() for examination in examined], "missing": missing}
        )
    else:
        terminal.show(doctor_view.view(machine(), examined, missing))
    if not any(examination.works for examination in examined):
        raise typer.Exit(FAILED)


def machine() -> dict[str, Any]:
    """Return the machine and the versions."""
    return {
        "webinfer": webinfer.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count() or 1,
    }


def missing_browsers(installations: list[Installation]) -> dict[str, str]:
    """Return how to get each browser that is not installed, by its name.

    Args:
        installations: The installed browsers.
    """
    installed = {installation.name for installation in installations}
    return {name: way for name, way in GETTING.items() if name not in installed}


def _examine(installation: Installation, options: Options, steps: Steps) -> Examination:
    """Return what a browser can do, after a start and a try of its backends. Failures are part of the answer."""
    with steps.step(f"examine {installation.name}"):
        examination = Examination(installation=installation, version=version(installation))
        with closing(Accelerator(options_for(installation, options))) as accelerator:
            try:
                _examine_backends(examination, accelerator, steps)
            except WebinferError as error:
                examination.error = error
    return examination


def _examine_backends(examination: Examination, accelerator: Accelerator, steps: Steps) -> None:
    """Try all backends of a browser.

    Raises:
        WebinferError: The browser did not start.
    """
    name = examination.installation.name
    with steps.step(f"start {name}", brief=True):
        began = time.perf_counter()
        examination.capabilities = accelerator.start()
        examination.start = time.perf_counter() - began
    for backend in BACKENDS:
        with steps.step(f"try {backend} in {name}", brief=True):
            examination.trials.append(_try_backend(accelerator, backend, examination.capabilities))
    examination.gpu = next((uses_gpu(running.pid) for running in accelerator.snapshot().browsers), None)


def options_for(installation: Installation, options: Options) -> Options:
    """Return options that start one certain browser.

    Args:
        installation: The browser.
        options: Options of the command.
    """
    executable = installation.executable if installation.source == "explicit" else None
    return replace(options, browser=cast(BrowserName, installation.name), executable=executable)


def _try_backend(accelerator: Accelerator, backend: Backend, capabilities: Capabilities) -> Trial:
    """Return the result of the probe on a backend: loaded, run, and compared with the right answer."""
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
    verdict, speeds = _time_adapter(accelerator, model)
    return Trial(
        backend=backend,
        verdict=verdict.over(result.placement),
        error=failed,
        load=model.load().seconds,
        run=result.times.run,
        placement=result.placement,
        speeds=speeds,
    )


def _time_adapter(accelerator: Accelerator, model: Model) -> tuple[Verdict, Speeds | None]:
    """Return the verdict on a model's backend, and the speeds of the GPU adapter if the model runs on one."""
    verdict = model.prove_hardware()
    return verdict, accelerator.start().speeds if model.backend == "webgpu" else None
