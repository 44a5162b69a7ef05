"""The asynchronous face: accelerators and models."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from webinfer.api.contest.model_tuner import ModelTuner
from webinfer.api.lifecycle import Lifecycle
from webinfer.api.loading import ModelLoader
from webinfer.api.order import Order, allowed
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import OptionError
from webinfer.core.lifetime.background import gather_all
from webinfer.core.lifetime.process_bound import AsyncResource
from webinfer.core.options import Options, Platform, Requirement
from webinfer.core.progress import ProgressCallback
from webinfer.inference.model import AsyncModel, Inputs
from webinfer.inference.result import Result
from webinfer.pipelines import AsyncPipeline, pipeline_class
from webinfer.pool.plan.timeouts import check_factors
from webinfer.pool.pool import Pool
from webinfer.telemetry.counters.gauges import measure
from webinfer.telemetry.readers.metrics import Loaded, metrics
from webinfer.telemetry.readers.snapshot import Snapshot

log = logging.getLogger("webinfer")


class AsyncAccelerator(AsyncResource):
    """Run ONNX models in a real browser.

    ::

        async with AsyncAccelerator(browser="firefox") as accelerator:
            model = await accelerator.load("wheel:all-MiniLM-L6-v2")
            vectors = await model.embed(["A browser ran this."])

    The browser starts with the first ``load`` or ``start``. Everything runs on the loop that called it.

    Args:
        options: Options as one object.
        keywords: Options by name, in place of ``options``; docs/reference/options.md lists them.

    Raises:
        OptionError: An option is unknown, or its value is not valid.
    """

    def __init__(self, options: Options | None = None, **keywords: Any) -> None:
        given = Options.given(options, keywords)
        check_factors(given.timeout_factors or {})
        self._lifecycle = Lifecycle(given)
        self._loader = ModelLoader(self._lifecycle)
        self._by_reference: dict[tuple[str, Platform | None], AsyncModel] = {}  # models that run() loaded

    def __repr__(self) -> str:
        state = "closed" if self._lifecycle.closed else self._pool or "not started"
        return f"<{type(self).__name__} {state} models={len(self._loader.models)}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    @property
    def options(self) -> Options:
        """The options in force."""
        return self._lifecycle.options

    @property
    def _pool(self) -> Pool | None:
        return self._lifecycle.pool

    async def start(self) -> Capabilities:
        """Start the first browser, unless it runs already.

        Returns:
            What it can do.

        Raises:
            BrowserNotFound: There is no browser to start.
            LaunchFailed: It did not start.
            PortInUse: The host's port is taken.
            PoolClosed: The accelerator was closed.
        """
        pool = await self._lifecycle.open()
        return (await pool.ensure()).capabilities

    async def load(
        self,
        reference: str | Path,
        *,
        platform: Platform | None = None,
        precision: str | Sequence[str] | None = None,
        part: str | None = None,
        fallback: bool = False,
        require: Requirement | None = None,
        progress: ProgressCallback | None = None,
    ) -> AsyncModel:
        """Load a model.

        Args:
            reference: Path of an ONNX file or of a directory in the hub's layout; a name under ``WEBINFER_MODELS`` or
                of the Hugging Face hub; ``ipfs://CID``, ``wheel:NAME`` or ``random:NAME``. See docs/how-to/models.md.
            platform: Backend, or ``auto``; ``None`` takes the accelerator's option.
            precision: Precision of the weights: one that the model's author ships, or else ``fp16``, ``q8``, ``int8``,
                ``q4``, ``q4f16``, ``q4-mixed``, ``q3`` or ``q2``, made here of the full model; ``None`` takes the full
                one. ``model.package.quantized`` tells how it was made and what it loses. Of several, the first
                that the backend can run is loaded, or the one that ``webinfer tune`` found to be the fastest.
            part: Which part of a model that comes in several files, such as ``decoder_model_merged``; ``None`` takes
                the whole, or else the encoder.
            fallback: If no browser can run ``platform``, take the next backend that one can run. If that backend cannot
                run ``precision``, take the next precision with more bits. The results say so.
            require: ``no-fallback`` refuses the model if the backend does not run every node of it itself; ``None``
                takes the accelerator's option.
            progress: Called with the bytes fetched, or quantized, so far.

        Returns:
            The model, loaded on one lane at least. Models loaded more than once share their sessions, which are
            released when the last of them is closed.

        Raises:
            ModelError: The model cannot be found, fetched or read.
            NotQuantizable: It cannot be brought to that precision.
            BackendUnavailable: The browser cannot run that backend, or that precision on it.
            OperatorFallback: Nodes would run elsewhere, and ``require`` forbids that.
            BackendError: The runtime refused the model.
        """
        self._lifecycle.check_open()
        first, others = allowed(precision)
        order = Order(reference, platform, first, fallback, progress, part=part, require=require, others=others)
        return self._tunable(await self._loader.load(order), order)

    async def pipeline(
        self,
        task: str,
        model: str | Path | None = None,
        *,
        platform: Platform | None = None,
        precision: str | Sequence[str] | None = None,
        fallback: bool = False,
        progress: ProgressCallback | None = None,
        **parameters: Any,
    ) -> AsyncPipeline:
        """Load a model for a task on text, images or sound. docs/reference/tasks.md lists the tasks.

        Args:
            task: Its name, as Transformers calls it: ``feature-extraction``, ``sentence-similarity`` …
            model: As ``load`` takes it; ``None`` takes the task's own, where it has one.
            platform: As ``load`` takes it.
            precision: As ``load`` takes it.
            fallback: As ``load`` takes it.
            progress: As ``load`` takes it.
            parameters: Parameters of the task, for calls that do not give them.

        Returns:
            The pipeline, to be called.

        Raises:
            OptionError: There is no such task or parameter, or a model must be named.
            TaskMismatch: The model is of another kind.
            WebinferError: As ``load``.
        """
        kind = pipeline_class(task)
        reference = kind.default if model is None else model
        if reference is None:
            raise OptionError(f"{task} has no model of its own: name one.", option="model")

        first, others = allowed(precision)
        order = Order(reference, platform, first, fallback, progress, others=others)

        async def load(reference: str | Path, *, part: str | None = None, varying: Collection[str] = ()) -> AsyncModel:
            self._lifecycle.check_open()
            own = replace(order, reference=reference, part=part, varying=varying)
            return self._tunable(await self._loader.load(own), own)

        return await kind.load(reference, load, **parameters)

    async def run(self, reference: str | Path, inputs: Inputs, *, platform: Platform | None = None) -> Result:
        """Load a model, unless an earlier call of this method did, and run one request.

        Args:
            reference: As ``load`` takes it.
            inputs: As ``AsyncModel.run`` takes them.
            platform: As ``load`` takes it.

        Returns:
            The outputs and what was observed.

        Raises:
            WebinferError: As ``load`` and ``AsyncModel.run``.
        """
        key = (str(reference), platform)
        if key not in self._by_reference:
            self._by_reference[key] = await self.load(reference, platform=platform)
        return await self._by_reference[key].run(inputs)

    async def run_parallel(self, requests: Sequence[tuple[AsyncModel, Inputs]]) -> list[Result]:
        """Run requests of several models at once, and wait for all of them.

        They share the lanes. Where there are fewer lanes than requests, models take turns.

        Args:
            requests: Pairs of a loaded model and inputs, as its ``run`` takes them. A model may be in several pairs.

        Returns:
            Their results, in order.

        Raises:
            WebinferError: As ``AsyncModel.run``; the first one in order, once all have ended.
        """
        return await gather_all(model.run(inputs) for model, inputs in requests)

    async def metrics(self) -> dict[str, Any]:
        """Return what happened so far: the sections ``models``, ``aggregate``, ``bridge`` and ``resource_pool``.

        Times are in seconds, sizes in 10^6 bytes, ``throughput`` in items per second of the time in which a request was
        under way. docs/reference/database.md tells more of single keys.
        """
        pool = self._pool
        now = await measure(pool)
        loaded = Loaded(
            names=sorted({model.package.name for model in self._loader.models}),
            holders=self._loader.holders(pool) if pool is not None else {},
        )
        return metrics(self._lifecycle.recorder.counters.read(), now, loaded)

    async def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Ask the database that ``db_path`` names. docs/reference/database.md lists its tables.

        Args:
            sql: A query, in DuckDB's SQL.
            parameters: Values for its question marks.

        Returns:
            The rows, by column; times in seconds, sizes in 10^6 bytes, timestamps in UTC.

        Raises:
            OptionError: There is no database.
            DatabaseError: It does not understand the query.
        """
        return await asyncio.to_thread((await self._lifecycle.database()).query, sql, parameters)

    async def report(self, format: str = "markdown") -> str:
        """Write a report of what this accelerator did, from its database; ``webinfer report`` writes one of any.

        Args:
            format: ``markdown``, ``html``, which is one file that needs no other, or ``json``.

        Returns:
            The report: Markdown, a whole HTML page, or a JSON object.

        Raises:
            OptionError: There is no database, or no such format.
        """
        await self._lifecycle.database()
        return await asyncio.to_thread(self._lifecycle.recorder.report, format)

    async def snapshot(self) -> Snapshot:
        """Return what is going on right now: browsers, lanes, sessions, what waits, memory, errors and recoveries.

        It is cheap enough to be asked for every second. ``webinfer top`` shows it from another process.

        Returns:
            What was true at one moment; ``Snapshot`` lists the fields. Times are in seconds, memory in 10^6 bytes.

        Raises:
            PoolClosed: The accelerator was closed.
        """
        return await self._lifecycle.snapshot()

    async def limit_memory(self, limits: Mapping[str, float]) -> None:
        """Limit the memory that browsers may take; see the option ``memory_limits``.

        Args:
            limits: Megabytes by browser's name, which also hold for a browser that stands in for that one. Browsers
                that are not named keep their limits.

        Raises:
            OptionError: There is no such browser, or no browser could do with so little.
        """
        self._lifecycle.options = replace(self.options, memory_limits={**(self.options.memory_limits or {}), **limits})
        if self._pool is not None:
            self._pool.limit_memory(limits)

    async def scale_timeouts(self, factors: Mapping[str, float]) -> None:
        """Scale the time limit of runs by their model's family; see the option ``timeout_factors``.

        Args:
            factors: By family; ``text`` stands for ``text_embedding`` and ``text_generation``, where these are not
                named themselves. Families that are not named keep theirs.

        Raises:
            OptionError: A family is unknown, or a factor is not above 0.
        """
        check_factors(factors)
        families = {**(self.options.timeout_factors or {}), **factors}
        self._lifecycle.options = replace(self.options, timeout_factors=families)
        if self._pool is not None:
            self._pool.timeouts = replace(self._pool.timeouts, families=families)

    async def close(self) -> None:
        """End the browser and fail whatever still waits. Later calls raise ``PoolClosed``."""
        self._loader.close()
        await self._lifecycle.close()

    def _tunable(self, model: AsyncModel, order: Order) -> AsyncModel:
        model.tuner = ModelTuner(order, self._lifecycle, AsyncAccelerator)
        return model
