"""A contest about one model: what the caller allows becomes candidates, each in a browser of its own."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from webinfer.accuracy.native import run_native
from webinfer.accuracy.samples.maker import sample, sound
from webinfer.api.contest.contestant import Arrays, BrowserContestant, Opened, Setup
from webinfer.api.lifecycle import Lifecycle
from webinfer.api.loading import find_package
from webinfer.api.order import Order
from webinfer.api.router import identity, precision_obstacle
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import LoadFailed, ModelError, OptionError, RunFailed, WebinferError
from webinfer.core.options import BACKENDS, Options
from webinfer.core.progress import Progress
from webinfer.inference.probes.audio import SHAPES, name
from webinfer.models.files.package import ModelPackage
from webinfer.models.files.variants import check
from webinfer.models.preprocessing.reader import Reader
from webinfer.pool.plan.buckets import batch_dimension
from webinfer.telemetry.database.machine import machine
from webinfer.tuning.candidate import Candidate, Space, sort_out, thread_obstacle
from webinfer.tuning.tuner import Subject, Terms, Tuner, TuningProgress
from webinfer.tuning.tuning import Tuning

_SEQUENCE = 128  # tokens of a generated text
_TURNS = 40  # turns of each candidate that the budget should allow
_TURN = (0.05, 0.25)  # shortest and longest turn, in seconds
_WARM_UP = (0.5, 3.0)  # shortest and longest warm-up, in seconds


class ModelTuner:
    """Tunes a model that was loaded.

    Args:
        order: What the caller loaded.
        lifecycle: Knows the options of the caller's accelerator, and its pool.
        make: Makes an accelerator.
    """

    def __init__(self, order: Order, lifecycle: Lifecycle, make: Callable[[Options], Opened]) -> None:
        self._order = order
        self._lifecycle = lifecycle
        self._make = make

    def __repr__(self) -> str:
        return f"<ModelTuner {self._order.reference}>"

    async def __call__(self, terms: Terms) -> Tuning:
        """Run a contest, and store its result.

        Args:
            terms: What the caller asks.

        Returns:
            The winner, and how every candidate did.

        Raises:
            OptionError: The budget is not above 0, or the terms name a browser that the accelerator does not have.
            WebinferError: As ``AsyncModel.tune``.
        """
        began = time.perf_counter()
        if not terms.budget > 0:
            raise OptionError(f"budget must be above 0 seconds, not {terms.budget}.", option="budget")
        capabilities, missing = await self._survey(terms)
        packages, absent, base = await self._obtain(terms)
        space = await asyncio.to_thread(self._space, terms, (*capabilities, *missing), (*packages, *absent), base)
        space = _as_preferred(space, list(capabilities.values()), are_named=terms.platforms is not None)
        able, reasons = sort_out(
            space.combinations(),
            (
                # This one is first: the others look up only browsers that start and precisions that exist.
                lambda candidate: missing.get(candidate.browser) or absent.get(candidate.precision),
                thread_obstacle(os.cpu_count() or 1),
                lambda candidate: _backend_obstacle(candidate, capabilities[candidate.browser]),
                lambda candidate: precision_obstacle(
                    packages[candidate.precision], candidate.backend, capabilities[candidate.browser]
                ),
                lambda candidate: _batch_obstacle(candidate, packages[candidate.precision]),
            ),
        )
        self._tell(terms, "run natively")
        inputs = terms.inputs if terms.inputs is not None else await asyncio.to_thread(_generate_inputs, base, space)
        right = {name: await asyncio.to_thread(_answer, package, inputs) for name, package in packages.items()}
        # All candidates get the load of the most demanding one, so that their costs per item can be compared.
        setup = Setup(
            options=self._lifecycle.options,
            order=self._order,
            full=base.precision,
            inputs=inputs,
            right={name: answer for name, answer in right.items() if answer is not None},
            callers=max((candidate.demand for candidate in able), default=1),
            turn=_within(_TURN, terms.budget / (_TURNS * max(1, len(able)))),
            warm_up=_within(_WARM_UP, terms.budget / (8 * max(1, len(able)))),
        )

        async def open_candidate(candidate: Candidate) -> BrowserContestant:
            return await BrowserContestant.open(candidate, setup, self._make)

        subject = Subject(model=base.sha256, name=base.name, machine=machine()["id"])
        tuner = Tuner(open_candidate, terms.progress)
        tuning = await tuner.run(subject, able, terms.budget, excluded=reasons, began=began)
        variants = {identity(package) for package in packages.values()}
        await asyncio.to_thread(self._lifecycle.tunings.keep, tuning, variants)
        return tuning

    async def _survey(self, terms: Terms) -> tuple[dict[str, Capabilities], dict[str, str]]:
        """Return what each browser can do, and why the other browsers cannot take part.

        Raises:
            OptionError: The terms name a browser that the accelerator does not have.
        """
        pool = await self._lifecycle.open()
        known = [installation.name for installation in pool.installations]
        chosen = known if terms.browsers is None else list(terms.browsers)
        for browser in chosen:
            if browser not in known:
                raise OptionError(
                    f"browsers must be among the accelerator's, {', '.join(known)}, not {browser!r}. An accelerator "
                    "takes several by its option browsers.",
                    option="browsers",
                )
        capabilities, missing = {}, {}
        for browser in chosen:
            if browser == "url":
                missing[browser] = "a page that somebody opens cannot be opened again for a contest"
                continue
            self._tell(terms, f"start {browser}")
            try:
                capabilities[browser] = (await pool.ensure((browser,))).capabilities
            except WebinferError as error:
                missing[browser] = str(error)
        return capabilities, missing

    async def _obtain(self, terms: Terms) -> tuple[dict[str, ModelPackage], dict[str, str], ModelPackage]:
        """Find or make the model in each precision.

        Returns:
            The model by precision, why the other precisions cannot be made, and the model in full precision.

        Raises:
            OptionError: There is no such precision.
            ModelError: The model in full precision cannot be found, fetched or read.
        """

        def tell(progress: Progress) -> None:
            self._tell(terms, progress.stage)

        order = self._order
        base = await find_package(replace(order, precision=None, progress=tell))
        loaded = (order.precision or base.precision, *order.others)
        packages, absent = {}, {}
        for precision in dict.fromkeys(terms.precisions if terms.precisions is not None else loaded):
            check(precision)
            try:
                packages[precision] = (
                    base
                    if precision == base.precision
                    else await find_package(replace(order, precision=precision, progress=tell))
                )
            except ModelError as error:
                absent[precision] = str(error)
        return packages, absent, base

    def _space(self, terms: Terms, browsers: tuple[str, ...], precisions: tuple[str, ...], base: ModelPackage) -> Space:
        """Return what the caller allows. The accelerator's options and the model fill in what the terms leave out."""
        options = self._lifecycle.options
        asked = self._order.platform or options.platform
        backends = BACKENDS if asked == "auto" else (asked,)
        has_audio = options.audio_shaders and terms.inputs is None and sound(base) is not None
        return Space(
            browsers=browsers,
            backends=backends if terms.platforms is None else tuple(terms.platforms),
            precisions=precisions,
            lanes=(options.lanes,) if terms.lanes is None else tuple(terms.lanes),
            threads=(options.threads,) if terms.threads is None else tuple(terms.threads),
            batch_sizes=(options.max_batch_size,) if terms.batch_sizes is None else tuple(terms.batch_sizes),
            workgroups=tuple(map(name, SHAPES)) if has_audio else (),
        )

    def _tell(self, terms: Terms, text: str) -> None:
        if terms.progress is not None:
            terms.progress(TuningProgress(text=text))


def _as_preferred(space: Space, capabilities: Sequence[Capabilities], *, are_named: bool) -> Space:
    """Return the space in the table's order of backends, unless the caller named them, and without useless workgroups.

    The contest opens candidates in this order. A software WebGPU adapter is slow to open and to run, so it comes last.
    """
    if not any("webgpu" in browser.backends for browser in capabilities):
        return replace(space, workgroups=())
    if are_named or any(browser.choose() == "webgpu" for browser in capabilities):
        return space
    return replace(space, backends=tuple(sorted(space.backends, key=lambda backend: backend == "webgpu")))


def _backend_obstacle(candidate: Candidate, capabilities: Capabilities) -> str | None:
    if candidate.backend in capabilities.backends:
        return None
    return capabilities.errors.get(candidate.backend) or f"{candidate.browser} has no {candidate.backend}"


def _batch_obstacle(candidate: Candidate, package: ModelPackage) -> str | None:
    if candidate.batch_size > 1 and batch_dimension(package.signature) is None:
        return "the model's inputs have no batch axis"
    return None


def _generate_inputs(package: ModelPackage, space: Space) -> Any:
    """Return a generated request: a recording if workgroups compete, because its time includes the audio features."""
    recording = sound(package) if space.workgroups else None
    return sample(package, _SEQUENCE) if recording is None else recording[0]


def _answer(package: ModelPackage, inputs: Any) -> Arrays | None:
    """Return native onnxruntime's answer; ``None`` if it cannot run the model. Then only the gate checks candidates.

    Raises:
        InputError: The inputs do not fit the model.
        ModelError: The model lacks what reads them, such as a tokenizer.
    """
    reader = Reader(package)
    files = reader.prepare_files(inputs) if reader.holds_files(inputs) else inputs
    try:
        return run_native(package, reader.text(files))
    except (LoadFailed, RunFailed):
        return None


def _within(limits: tuple[float, float], value: float) -> float:
    return min(limits[1], max(limits[0], value))
