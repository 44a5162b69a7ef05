"""The guide's connection to one browser, over an asynchronous accelerator."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from webinfer.api.accelerator import AsyncAccelerator
from webinfer.compat.keywords import choose, platform_of
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import BrowserError, BrowserNotFound, LostError, OptionError, PoolClosed
from webinfer.core.options import BROWSERS, BrowserName, Options
from webinfer.inference.model import AsyncModel, Inputs
from webinfer.inference.result import Result

log = logging.getLogger("webinfer.compat")

_STANDINS: Mapping[str, tuple[BrowserName, ...]] = {
    "chrome": ("chrome", "embedded", "chromium"),
    "edge": ("edge", "chrome", "embedded", "chromium"),
}
"""Browsers of the same engine that take the place of one that is not installed. Results name the one that ran."""


class BrowserConnection:
    """One browser that loads models and runs requests.

    Args:
        connection_id: A name for it.
        browser_name: ``chrome``, ``edge``, ``firefox`` or ``safari``, or a value of the option ``browser``. If Chrome
            or Edge is missing, another browser of the same engine takes its place.
        platform: Default platform of models.
        headless: Start it without a window.
        compute_shaders: Make features of recordings with a shader; see the option ``audio_shaders``.
        precompile_shaders: Warm models up when they are loaded; see the option ``warm_up``.
        parallel_loading: Not available.
        websocket_port: Port that the host listens on; 0 takes a free one.
        options: Further options of the accelerator.
        enable_gpu: Whether WebGPU may be used.
        enable_cpu: Whether WebAssembly may be used.

    Attributes:
        starts: How often the browser was started.
        loads: How many models were loaded.

    Raises:
        OptionError: An argument has an invalid value, or is not available in this version.
    """

    def __init__(
        self,
        connection_id: str,
        browser_name: str = "chrome",
        platform: str = "webgpu",
        headless: bool = True,
        compute_shaders: bool = False,
        precompile_shaders: bool = False,
        parallel_loading: bool = False,
        websocket_port: int = 0,
        *,
        options: Mapping[str, Any] | None = None,
        enable_gpu: bool = True,
        enable_cpu: bool = True,
    ) -> None:
        if parallel_loading:
            raise OptionError(
                "parallel_loading is not available in this version; leave it out.", option="parallel_loading"
            )
        if browser_name not in BROWSERS:
            raise OptionError(f"browser must be one of {', '.join(BROWSERS)}, not {browser_name!r}.", option="browser")
        self.connection_id = connection_id
        self.browser_name = browser_name
        self.platform = platform_of(platform)
        own = {"headless": headless, "port": websocket_port, "warm_up": precompile_shaders}
        own["audio_shaders"] = compute_shaders
        self._options = {**own, **(options or {})}
        Options.of(**self._options)  # so that a bad value is refused now, not at the start
        self._gpu, self._cpu = enable_gpu, enable_cpu
        self._accelerator: AsyncAccelerator | None = None
        self._capabilities: Capabilities | None = None
        self._models: dict[str, AsyncModel] = {}
        self.starts = self.loads = 0
        self._running = 0
        self._healthy = False
        self._starting = asyncio.Lock()
        self._began = self._used = time.monotonic()

    def __repr__(self) -> str:
        state = "busy" if self.is_busy() else "healthy" if self.is_healthy() else "down"
        return f"<BrowserConnection {self.connection_id} {self.browser_name} {state} models={len(self._models)}>"

    @property
    def capabilities(self) -> Capabilities:
        """What the browser can do.

        Raises:
            PoolClosed: It is not started.
        """
        if self._capabilities is None:
            raise PoolClosed(f"Connection {self.connection_id} is not started: call initialize.")
        return self._capabilities

    async def initialize(self) -> bool:
        """Start the browser, unless it runs.

        Returns:
            True; a failure raises an error.

        Raises:
            BrowserNotFound: There is no such browser.
            LaunchFailed: It did not start.
            PortInUse: The port is taken.
        """
        # Requests that come together wait here for one start, instead of starting a browser each.
        async with self._use(), self._starting:
            if self._accelerator is None:
                self._accelerator, self._capabilities = await self._start()
                self.starts += 1
                self._began = time.monotonic()
        return True

    async def load_model(self, model_id: str, model_config: Mapping[str, Any] | None = None) -> bool:
        """Load a model, unless it is loaded.

        Args:
            model_id: A name for it.
            model_config: ``model_name`` is the model to load, as ``Accelerator.load`` takes it; ``model_id`` by
                default. ``backend`` is the platform, the connection's by default. If the browser cannot run it, the
                next platform takes its place, and the results say so.

        Returns:
            True; a failure raises an error.

        Raises:
            WebinferError: As ``AsyncAccelerator.load``.
        """
        config = model_config or {}
        await self.initialize()
        async with self._use():
            if model_id not in self._models:
                assert self._accelerator is not None
                asked = platform_of(config.get("backend", self.platform))
                chosen, reason = choose(asked, self.capabilities, gpu=self._gpu, cpu=self._cpu)
                if reason:
                    log.info("%s runs on %s, not on %s: %s", model_id, chosen, asked, reason)
                model = await self._accelerator.load(
                    config.get("model_name", model_id), platform=chosen, fallback=self._gpu and self._cpu
                )
                if self._models.setdefault(model_id, model) is model:
                    self.loads += 1
                else:
                    await model.close()  # another caller loaded it meanwhile; both share the sessions
        return True

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
        await self.load_model(model_id)
        async with self._use():
            return await self._models[model_id].run(inputs)

    def is_open(self) -> bool:
        """Return whether the browser was started and not closed."""
        return self._accelerator is not None

    def is_busy(self) -> bool:
        """Return whether a start, a load or a request is in progress."""
        return self._running > 0

    def is_healthy(self) -> bool:
        """Return whether the browser runs and its last operation did not end with its loss."""
        return self._healthy

    def get_idle_time(self) -> float:
        """Return the seconds since the last operation ended; 0 while one is in progress."""
        return 0.0 if self.is_busy() else time.monotonic() - self._used

    def get_age(self) -> float:
        """Return the seconds since the browser was started; 0 if it is not."""
        return 0.0 if self._accelerator is None else time.monotonic() - self._began

    def get_loaded_models(self) -> list[str]:
        """Return the ids of the loaded models."""
        return sorted(self._models)

    def has_model(self, model_id: str) -> bool:
        """Return whether a model of this id is loaded.

        Args:
            model_id: The id.
        """
        return model_id in self._models

    async def metrics(self) -> dict[str, Any]:
        """Return what happened so far; see ``AsyncAccelerator.metrics``."""
        return await self._accelerator.metrics() if self._accelerator else {}

    async def close(self) -> None:
        """Close the browser. The connection can be initialized again."""
        accelerator = self.detach()
        if accelerator is not None:
            await accelerator.close()

    def detach(self) -> AsyncAccelerator | None:
        """Return the browser's accelerator, to be closed, and forget it. The next request starts another one."""
        accelerator, self._accelerator, self._capabilities = self._accelerator, None, None
        self._healthy = False
        self._models.clear()
        return accelerator

    async def _start(self) -> tuple[AsyncAccelerator, Capabilities]:
        names = _STANDINS.get(self.browser_name, (self.browser_name,))
        for number, name in enumerate(names, 1):
            accelerator = AsyncAccelerator(browser=name, **self._options)
            try:
                return accelerator, await accelerator.start()
            except BrowserNotFound as error:
                await accelerator.close()
                if number == len(names):
                    raise
                log.info("%s Next: %s", error, names[number])
            except BaseException:
                await accelerator.close()
                raise
        raise AssertionError("there is at least one name")

    @asynccontextmanager
    async def _use(self) -> AsyncIterator[None]:
        # The count makes the connection busy, so that the bridge neither closes it for room nor as idle.
        self._running += 1
        try:
            yield
            self._healthy = True
        except (LostError, BrowserError):
            self._healthy = False
            raise
        finally:
            self._running -= 1
            self._used = time.monotonic()
