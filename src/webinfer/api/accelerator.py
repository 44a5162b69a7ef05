"""The asynchronous face: accelerators and models."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from webinfer.api.loading import Order, Supplier
from webinfer.api.precisions import allowed
from webinfer.api.router import Router
from webinfer.browsers.discovery.find import find, find_each
from webinfer.browsers.profiles import note_port, port_of
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import OptionError, PoolClosed, PortInUse
from webinfer.core.options import Options, Platform, Requirement
from webinfer.core.process_bound import AsyncResource
from webinfer.core.progress import ProgressCallback
from webinfer.inference.model import AsyncModel, Inputs
from webinfer.inference.result import Result
from webinfer.models.files.package import ModelPackage
from webinfer.pipelines import AsyncPipeline, pipeline_class
from webinfer.pool.plan.timeouts import check_factors
from webinfer.pool.pool import Pool
from webinfer.telemetry import prometheus
from webinfer.telemetry.counters.aggregate import Aggregate, Gauges
from webinfer.telemetry.counters.journal import Journal
from webinfer.telemetry.counters.tallies import Tallies
from webinfer.telemetry.database.store import Store
from webinfer.telemetry.recorder import Recorder
from webinfer.telemetry.registry import Entry, announce, retract
from webinfer.telemetry.snapshot import Snapshot, take
from webinfer.transport.server import Host

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
        keywords: Options by name, in place of ``options``; docs/options.md lists them.

    Raises:
        OptionError: An option is unknown, or its value cannot be.
    """

    def __init__(self, options: Options | None = None, **keywords: Any) -> None:
        self.options = Options.given(options, keywords)
        self._host: Host | None = None
        self._pool: Pool | None = None
        self._router = Router(self.options)
        check_factors(self.options.timeout_factors or {})
        self._metrics = Aggregate()
        self._recorder = Recorder(self._metrics)
        self._journal = Journal()
        self._tallies = Tallies()
        self._entry: Entry | None = None  # by which other processes find this accelerator
        self._supplier = Supplier(lambda: self.options, self._recorder, self._router, self._open, self._name)
        self._by_reference: dict[tuple[str, Platform | None], AsyncModel] = {}  # those that run() loaded
        self._starting: asyncio.Lock | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else self._pool or "not started"
        return f"<{type(self).__name__} {state} models={len(self._supplier.models)}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

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
        pool = await self._open()
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
            reference: Path of an ONNX file or of a directory in the hub's layout, a name under ``WEBINFER_MODELS``
                or of the Hugging Face hub, ``ipfs://CID``, ``wheel:NAME`` or ``random:NAME``; see docs/models.md.
            platform: Backend, or ``auto``; ``None`` takes the accelerator's option.
            precision: Precision of the weights: one that the model's author ships, or else ``fp16``, ``q8``, ``int8``,
                ``q4``, ``q4f16``, ``q4-mixed``, ``q3`` or ``q2``, made here of the full model; ``None`` takes the full
                one. ``model.package.quantized`` tells how it was made and what it loses. Of several, the first
                that the backend can run is loaded, or the one that ``webinfer tune`` found to be the fastest.
            part: Which part of a model that comes in several files, such as ``decoder_model_merged``; ``None`` takes
                the whole, or else the encoder.
            fallback: Take the next backend that the browser can run, where none can run ``platform``, and the next
                precision with more bits, where that backend cannot run ``precision``. The results say so.
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
        self._check_open()
        first, others = allowed(precision)
        order = Order(reference, platform, first, fallback, progress, part=part, require=require, others=others)
        return await self._supplier.supply(order)

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
        """Load a model for a task: text, images or sound in, what people want out. docs/tasks.md lists the tasks.

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
            self._check_open()
            return await self._supplier.supply(replace(order, reference=reference, part=part, varying=varying))

        return await kind.load(reference, load, **parameters)

    async def run(self, reference: str | Path, inputs: Inputs, *, platform: Platform | None = None) -> Result:
        """Load a model, unless it is loaded, and run one request; see ``AsyncModel.run``."""
        key = (str(reference), platform)
        if key not in self._by_reference:
            self._by_reference[key] = await self.load(reference, platform=platform)
        return await self._by_reference[key].run(inputs)

    async def run_parallel(self, requests: Sequence[tuple[AsyncModel, Inputs]]) -> list[Result]:
        """Run requests of several models at once.

        Returns:
            Their results, in order.

        Raises:
            WebinferError: As ``AsyncModel.run``; the first one in order, once all have ended.
        """
        results = await asyncio.gather(*(model.run(inputs) for model, inputs in requests), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if isinstance(result, Result)]

    async def metrics(self) -> dict[str, Any]:
        """Return what happened so far: the sections ``models``, ``aggregate``, ``bridge`` and ``resource_pool``.

        Times are in seconds, sizes in 10^6 bytes, ``throughput`` in items per second of the time in which a request was
        under way. docs/database.md tells more of single keys.
        """
        loaded = sorted({model.package.name for model in self._supplier.models})
        pool = self._pool
        if pool is None:
            return self._metrics.to_dict(Gauges(loaded=loaded))
        memory = await pool.memory_of_each()
        return self._metrics.to_dict(
            Gauges(
                queued=pool.queued,
                queue_peak=pool.queue_peak,
                running_peak=pool.running_peak,
                lanes=len(pool.lanes),
                busy=pool.busy,
                memory={browser: nbytes / 1e6 for browser, nbytes in memory.items()},
                holders=self._supplier.holders(pool),
                loaded=loaded,
            )
        )

    async def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Ask the database that ``db_path`` names, with everything recorded so far; docs/database.md tells its tables.

        Args:
            sql: A query, in DuckDB's SQL.
            parameters: Values for its question marks.

        Returns:
            The rows, by column; times in seconds, sizes in 10^6 bytes, timestamps in UTC.

        Raises:
            OptionError: There is no database.
            DatabaseError: It does not understand the query.
        """
        return await asyncio.to_thread((await self._database()).query, sql, parameters)

    async def report(self, format: str = "markdown") -> str:
        """Write a report of what this accelerator did, from its database; ``webinfer report`` writes one of any.

        Args:
            format: ``markdown``, ``html``, which is one file that needs no other, or ``json``.

        Raises:
            OptionError: There is no database, or no such format.
        """
        await self._database()
        return await asyncio.to_thread(self._recorder.report, format)

    async def _database(self) -> Store:
        await self._open()
        if self._recorder.store is None:
            raise OptionError("There is no database to ask: set db_path, to :memory: if need be.", option="db_path")
        return self._recorder.store

    async def snapshot(self) -> Snapshot:
        """Return what is going on right now: browsers, lanes, sessions, what waits, memory, errors and recoveries.

        Cheap enough to be asked for every second. ``webinfer top`` shows it from another process.

        Raises:
            PoolClosed: The accelerator was closed.
        """
        self._check_open()
        return await take(self._pool, self._journal)

    async def limit_memory(self, limits: Mapping[str, float]) -> None:
        """Limit the memory that browsers may take; see the option ``memory_limits``.

        Args:
            limits: Megabytes by browser's name, which also hold for a browser that stands in for that one. Browsers
                that are not named keep their limits.

        Raises:
            OptionError: There is no such browser, or no browser could do with so little.
        """
        self.options = replace(self.options, memory_limits={**(self.options.memory_limits or {}), **limits})
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
        self.options = replace(self.options, timeout_factors={**(self.options.timeout_factors or {}), **factors})
        if self._pool is not None:
            self._pool.timeouts = replace(self._pool.timeouts, families=self.options.timeout_factors or {})

    async def close(self) -> None:
        """End the browser and fail whatever still waits. Later calls raise ``PoolClosed``."""
        self._closed = True
        if self._pool is not None:
            await self._pool.close()  # which ends a start under way, too
        self._starting = self._starting or asyncio.Lock()
        async with self._starting:
            if self._pool is not None:
                await self._pool.close()
            if self._entry is not None:
                retract(self._entry)  # not in a thread: when the interpreter exits, none can be had any more
            if self._host is not None:
                await self._host.close()
            self._recorder.close()  # not in a thread either
        self._supplier.models.clear()

    async def _open(self) -> Pool:
        """Find the browsers and start the host, unless that was done."""
        self._check_open()
        self._starting = self._starting or asyncio.Lock()
        async with self._starting:
            options = self.options
            if self._pool is None and options.browsers:
                installations = await asyncio.to_thread(find_each, options.browsers)
            elif self._pool is None:
                installations = [await asyncio.to_thread(find, options.browser, options.executable)]
            if self._recorder.store is None and options.db_path is not None:
                self._recorder.open(await asyncio.to_thread(Store, options.db_path), options)
            if self._host is None:
                self._host = host = await _start_host(options)
                host.report, host.exposition = self._report, self._exposition
                self._entry = await asyncio.to_thread(_announce, host)
            if self._pool is None:
                self._pool = Pool(self._host, installations, options)
                self._pool.listen(self._metrics)
                self._recorder.watch(self._pool)
                self._pool.listen(self._journal)
                self._pool.listen(self._tallies)
            self._check_open()
            return self._pool

    def _name(self, package: ModelPackage) -> None:
        """Tell everything that counts what a model is called."""
        self._metrics.name(package.sha256, package.name, package.cid, package.precision)
        self._recorder.model(package)
        self._journal.name(package.sha256, package.name)
        self._tallies.name(package.sha256, package.name)

    async def _report(self) -> dict[str, Any]:
        return (await self.snapshot()).to_dict()

    async def _exposition(self, accept: str) -> tuple[bytes, str]:
        return await prometheus.expose(await self.snapshot(), self._tallies, accept)

    def _check_open(self) -> None:
        if self._closed:
            raise PoolClosed("The accelerator is closed: make a new one.")


def _announce(host: Host) -> Entry | None:
    """Let other processes find the accelerator; where that cannot be, it works all the same."""
    try:
        return announce(host.origin, host.status_token)
    except (OSError, OptionError) as error:
        log.warning("other processes will not find this accelerator: %s", error)
        return None


async def _start_host(options: Options) -> Host:
    """Start the host, where browsers' profiles are kept at the port that it had before, if that is free."""
    kept = options.profiles
    known = await asyncio.to_thread(port_of, kept) if kept is not None else 0
    wanted = options.port or known
    for port in dict.fromkeys((wanted, options.port)):
        host = Host(options.address, port, options.max_message_mb, options.heartbeat, options.metrics_token)
        try:
            await host.start()
            break
        except PortInUse:
            if port == options.port:
                raise
    if kept is not None and (not known or options.port):
        await asyncio.to_thread(note_port, kept, host.port)
    return host
