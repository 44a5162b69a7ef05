"""The guide's pool of connections, over asynchronous accelerators."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from webinfer.compat.connection import BrowserConnection
from webinfer.compat.keywords import lanes
from webinfer.core.errors import OptionError, PoolClosed, QueueFull, WebinferError
from webinfer.inference.model import Inputs
from webinfer.inference.result import Result

log = logging.getLogger("webinfer.compat")


class ResourcePoolBridge:
    """Models by id, on one browser of each kind that is in use.

    A connection is a browser with ``max_connections`` lanes, at most one for each core. Requests share the lanes.
    A connection that was idle for ``cleanup_interval`` seconds is closed. The next request opens it again.

    Args:
        max_connections: Most lanes of a browser, and most browsers that are open at once.
        browser: Default browser; see ``BrowserConnection``.
        enable_gpu: Whether WebGPU may be used.
        enable_cpu: Whether WebAssembly may be used.
        headless: Start browsers without a window.
        cleanup_interval: Seconds after which an idle browser is closed.

    Raises:
        OptionError: An argument has an invalid value.
    """

    def __init__(
        self,
        max_connections: int = 4,
        browser: str = "chrome",
        enable_gpu: bool = True,
        enable_cpu: bool = True,
        headless: bool = True,
        cleanup_interval: float = 300,
    ) -> None:
        if not (enable_gpu or enable_cpu):
            raise OptionError("enable_gpu and enable_cpu are both off: leave one on.", option="enable_cpu")
        if not cleanup_interval > 0:
            raise OptionError(f"cleanup_interval must be above 0, not {cleanup_interval}.", option="cleanup_interval")
        self.max_connections = max_connections
        self.browser = browser
        self.cleanup_interval = cleanup_interval
        self._settings: dict[str, Any] = {
            "headless": headless,
            "enable_gpu": enable_gpu,
            "enable_cpu": enable_cpu,
            "options": {"lanes": lanes(max_connections)},
        }
        self._make(browser)  # so that a bad name is refused now, not at the first request
        self._connections: dict[str, BrowserConnection] = {}  # by browser, the least recently used first
        self._configs: dict[str, Mapping[str, Any]] = {}
        self._inferences = self._errors = self._peak = 0
        self._opening = asyncio.Lock()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._cleaning: set[asyncio.Task[None]] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<ResourcePoolBridge {list(self._connections.values())}>"

    async def __aenter__(self) -> ResourcePoolBridge:
        await self.initialize()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def initialize(self, model_configs: Sequence[Mapping[str, Any]] | None = None) -> bool:
        """Register models and start the first browser.

        Args:
            model_configs: Models to register, each with ``model_id`` and what ``register_model`` takes.

        Returns:
            True; a failure raises an error.

        Raises:
            BrowserError: It cannot be started.
        """
        for config in model_configs or ():
            self.register_model(config)
        await self.get_connection()
        return True

    def register_model(self, model_config: Mapping[str, Any]) -> None:
        """Say what a model's id stands for.

        Args:
            model_config: Has ``model_id``. Optional keys are ``model_name``, the model to load, ``backend``, its
                platform, and ``browser``.

        Raises:
            OptionError: It has no ``model_id``.
        """
        if not model_config.get("model_id"):
            raise OptionError("A model's configuration needs a model_id.", option="model_id")
        self._configs[model_config["model_id"]] = dict(model_config)

    def has_model(self, model_id: str) -> bool:
        """Return whether a model of this id was registered or is loaded.

        Args:
            model_id: The id.
        """
        return model_id in self._configs or any(
            connection.has_model(model_id) for connection in self._connections.values()
        )

    async def get_connection(self, platform: str = "webgpu", browser: str | None = None) -> BrowserConnection:
        """Return the connection to a browser. The browser is started if it does not run.

        Args:
            platform: Default platform of the models that are loaded over it. The first caller decides.
            browser: The browser; ``None`` takes the bridge's.

        Returns:
            The connection, with its browser running.

        Raises:
            QueueFull: ``max_connections`` browsers are open, and all are busy.
            BrowserError: It cannot be started.
            PoolClosed: The bridge was closed.
        """
        if self._closed:
            raise PoolClosed("The bridge is closed: make a new one.")
        name = browser or self.browser
        connection = self._connections.pop(name, None) or self._make(name, platform)
        self._connections[name] = connection  # at the end, as the most recently used
        # One opening at a time: two could both count the open browsers before either adds its own.
        async with self._use(name), self._opening:
            if not connection.is_open():
                await self._make_room()
            await connection.initialize()
        self._peak = max(self._peak, self._open())
        return connection

    async def load_model(self, model_id: str) -> tuple[bool, BrowserConnection]:
        """Load a model, unless it is loaded. An id that was not registered is taken as the model's name.

        Args:
            model_id: The id.

        Returns:
            True, and the connection that has the model; a failure raises an error.

        Raises:
            WebinferError: As ``AsyncAccelerator.load``.
        """
        config = self._configs.get(model_id, {})
        connection = await self.get_connection(config.get("backend", "webgpu"), config.get("browser"))
        async with self._use(connection.browser_name):
            await connection.load_model(model_id, config)
        return True, connection

    async def run_inference(self, model_id: str, inputs: Inputs) -> Result:
        """Run one request on a model. The model is loaded first if it is not loaded yet.

        Args:
            model_id: The id.
            inputs: As ``Model.run`` takes them.

        Returns:
            The outputs and what was observed.

        Raises:
            WebinferError: As ``AsyncModel.run``.
        """
        _, connection = await self.load_model(model_id)
        async with self._use(connection.browser_name):
            result = await connection.run_inference(model_id, inputs)
        self._inferences += 1
        return result

    async def run_parallel(self, model_inputs: Sequence[tuple[str, Inputs]]) -> list[Result]:
        """Run requests of several models at once, and return their results in order.

        Args:
            model_inputs: Pairs of a model's id and inputs.

        Returns:
            A result for each pair, in order.

        Raises:
            WebinferError: As ``run_inference``. The first error in order is raised, after all requests have ended.
        """
        runs = (self.run_inference(model_id, inputs) for model_id, inputs in model_inputs)
        results = await asyncio.gather(*runs, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if isinstance(result, Result)]

    def get_stats(self) -> dict[str, Any]:
        """Return the keys of ``get_metrics()["bridge"]["bridge_stats"]``, of this bridge."""
        connections = self._connections.values()
        loaded = sorted({model for connection in connections for model in connection.get_loaded_models()})
        return {
            "created_connections": sum(connection.starts for connection in connections),
            "total_inferences": self._inferences,
            "total_model_loads": sum(connection.loads for connection in connections),
            "errors": self._errors,
            "peak_connections": self._peak,
            "current_connections": self._open(),
            "loaded_models": loaded,
            "model_count": len(loaded),
        }

    async def close(self) -> None:
        """Close every browser. Later calls raise ``PoolClosed``."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.gather(*self._cleaning, *(connection.close() for connection in self._connections.values()))

    def _make(self, browser: str, platform: str = "webgpu") -> BrowserConnection:
        return BrowserConnection(browser, browser, platform, **self._settings)

    def _open(self) -> int:
        return sum(connection.is_open() for connection in self._connections.values())

    async def _make_room(self) -> None:
        """Close the least recently used idle browser if ``max_connections`` are open.

        Raises:
            QueueFull: All of them are busy.
        """
        if self._open() < self.max_connections:
            return
        connections = self._connections.values()
        idle = next(
            (connection for connection in connections if connection.is_open() and not connection.is_busy()), None
        )
        if idle is None:
            raise QueueFull(
                f"All {self.max_connections} connections are busy: raise max_connections, or wait for one.",
                connections=self.max_connections,
            )
        await idle.close()

    @contextlib.asynccontextmanager
    async def _use(self, name: str) -> AsyncIterator[None]:
        """Count errors, and start the idle timer of a connection when the block ends.

        Raises:
            WebinferError: As the block.
        """
        self._stop_timer(name)
        try:
            yield
        except WebinferError:
            self._errors += 1
            raise
        finally:
            self._stop_timer(name)  # another use of this connection may have started one meanwhile
            if not self._closed:
                self._timers[name] = asyncio.get_running_loop().call_later(self.cleanup_interval, self._clean, name)

    def _stop_timer(self, name: str) -> None:
        """Stop the idle timer of a connection."""
        if name in self._timers:
            self._timers.pop(name).cancel()

    def _clean(self, name: str) -> None:
        connection = self._connections.get(name)
        if connection is None or connection.is_busy():  # its timer starts again when that use ends
            return
        # Detached at once, so that a request that comes while the browser ends starts a new one.
        accelerator = connection.detach()
        if accelerator is None:
            return
        log.info("%s is closed: it was idle for %g s", connection.connection_id, self.cleanup_interval)
        task = asyncio.create_task(accelerator.close())
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)
