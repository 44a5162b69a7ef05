"""``webinfer explain``: where a model's nodes and time go on each backend, and why one backend is faster."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import typer
from numpy.typing import NDArray

from webinfer import Accelerator, Capabilities, Decision, Model, Options, Profile, Result, WebinferError
from webinfer.api.services.models import ModelPackage, resolve
from webinfer.api.services.native import canaries_of, compare, fault, limits_for, profile_native
from webinfer.cli.arguments import ModelName, PartName, PrecisionName
from webinfer.cli.command import command
from webinfer.cli.output.terminal import FAILED, Terminal
from webinfer.cli.views.explain import account as explain_view
from webinfer.cli.views.explain.account import Account, decision_view
from webinfer.cli.views.explain.reasons import reasons
from webinfer.core.options import BACKENDS, Backend

_FLAGS = ("browser", "executable", "threads", "routing", "db_path", "load_timeout", "run_timeout")
_EXAMPLES = """
webinfer explain wheel:all-MiniLM-L6-v2
webinfer explain model.onnx --browser firefox --json
"""
_RUNS = 5


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: The command line.
    """
    command(app, "explain", flags=_FLAGS, examples=_EXAMPLES)(explain)


def explain(
    terminal: Terminal,
    options: Options,
    model: ModelName,
    precision: PrecisionName = None,
    part: PartName = None,
) -> None:
    """Show where a model's nodes and time go on each backend, and why.

    The inputs are generated. Exits with 0 if at least one backend ran the model.

    Raises:
        Exit: No backend ran the model; with exit code 1.
    """
    package = resolve(model, precision=precision, part=part)
    with terminal.steps() as steps, closing(Accelerator(options)) as accelerator:
        with steps.step("run natively"):
            first = canaries_of(package)[0]
            inputs, right = first.inputs, first.answer
            native = profile_native(package, inputs)
        capabilities = accelerator.start()
        accounts = []
        for backend in BACKENDS:
            with steps.step(f"run on {backend}"):
                accounts.append(_account(accelerator, (model, part), package, backend, inputs, right, capabilities))
        with steps.step("ask the router"):
            decision = _decide(accelerator, (model, part), package, inputs)
    words = reasons(accounts)
    if terminal.json:
        backends = {account.backend: account.to_dict() for account in accounts}
        about = {"engine": capabilities.engine, "engine_version": capabilities.engine_version}
        about |= {"model": package.name, "precision": package.precision}
        chosen = decision.to_dict() if decision else None
        terminal.emit(
            {
                **about,
                "decision": chosen,
                "backends": backends,
                "why": words,
                "native": [account.to_dict() for account in native],
            }
        )
    else:
        terminal.show(explain_view.view(package, capabilities, accounts, native, words))
        if decision is not None:
            terminal.show(decision_view(decision))
    if all(account.error for account in accounts):
        raise typer.Exit(FAILED)


def _decide(
    accelerator: Accelerator,
    named: tuple[str, str | None],
    package: ModelPackage,
    inputs: Mapping[str, NDArray[Any]],
) -> Decision | None:
    """Return the router's decision on a model, after a run; ``None`` if it does not run."""
    try:
        with accelerator.load(named[0], platform="auto", precision=package.precision, part=named[1]) as loaded:
            return loaded.run(inputs).decision
    except WebinferError:
        return None  # the accounts of the backends say why


def _account(
    accelerator: Accelerator,
    named: tuple[str, str | None],
    package: ModelPackage,
    backend: Backend,
    inputs: Mapping[str, NDArray[Any]],
    right: Mapping[str, NDArray[Any]],
    capabilities: Capabilities,
) -> Account:
    """Return what a backend does with a model: it is loaded, run a few times and profiled."""
    try:
        with accelerator.load(named[0], platform=backend, precision=package.precision, part=named[1]) as loaded:
            first, *later = (loaded.run(inputs) for _ in range(1 + _RUNS))
            session = loaded.loaded
            profile, unmeasured = _profile(loaded, inputs)
    except WebinferError as error:
        return Account(backend=backend, verdict=capabilities.verdict(backend), error=error)
    run = _median(later, "run")  # the first run compiles kernels, and the later ones do not
    deviations = tuple(compare(first.outputs, right))
    return Account(
        backend=backend,
        verdict=first.verdict,
        placement=first.placement,
        rewritten=first.rewritten,
        loaded=session,
        first=first.times.run,
        compile=max(0.0, first.times.run - run),
        queue=_median(later, "queue"),
        transfer=_median(later, "transfer"),
        run=run,
        profile=profile,
        unmeasured=unmeasured,
        deviations=deviations,
        fault=fault(deviations, limits_for(package.precision)),
    )


def _profile(model: Model, inputs: Mapping[str, NDArray[Any]]) -> tuple[Profile | None, str | None]:
    """Return a model's profile, or why there is none. The account is complete without a profile."""
    try:
        return model.profile(inputs), None
    except WebinferError as error:
        return None, str(error)


def _median(results: Sequence[Result], name: str) -> float:
    return float(statistics.median(getattr(result.times, name) for result in results))
