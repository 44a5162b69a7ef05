"""The guide's bridge over one WebSocket, over an asynchronous accelerator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from webinfer.compat.connection import BrowserConnection
from webinfer.core.errors import DeadlineExceeded, OptionError, UnknownKind
from webinfer.inference.model import Inputs
from webinfer.inference.result import Result

log = logging.getLogger("webinfer.compat")


class WebSocketBridge:
    """One browser, connected by a WebSocket.

    The bridge starts its own browser, which connects back. It does not wait for a browser that somebody else starts.
    Messages are dicts with a ``type`` (see ``send_and_wait``). This package's own wire protocol carries them, with
    tensors as bytes. Every failure raises an error.

    Args:
        port: Port that the host listens on; 0 takes a free one.
        host: Address that it listens on.
        connection_timeout: Seconds that the browser may take to connect.
        message_timeout: Seconds that an answer may take.
        browser: Browser to start; see ``BrowserConnection``.
        headless: Start it without a window.
    """

    def __init__(
        self,
        port: int = 8765,
        host: str = "127.0.0.1",
        connection_timeout: float = 30,
        message_timeout: float = 60,
        *,
        browser: str = "auto",
        headless: bool = True,
    ) -> None:
        self.connection_timeout = connection_timeout
        self.message_timeout = message_timeout
        options = {"address": host, "launch_timeout": connection_timeout, "run_timeout": message_timeout}
        self._connection = BrowserConnection(
            f"{host}:{port}", browser, headless=headless, websocket_port=port, options=options
        )
        self._starting: asyncio.Task[bool] | None = None
        self._sent: set[asyncio.Task[dict[str, Any]]] = set()
        self._kinds: dict[str, Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {
            "get_capabilities": self._answer_capabilities,
            "initialize_model": self._answer_model,
            "run_inference": self._answer_inference,
        }

    def __repr__(self) -> str:
        return f"<WebSocketBridge {self._connection!r}>"

    async def __aenter__(self) -> WebSocketBridge:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> bool:
        """Start the host and the browser, unless they run.

        Returns:
            True; a failure raises an error.

        Raises:
            PortInUse: The port is taken.
            BrowserError: The browser cannot be started.
        """
        return await self.wait_for_connection()

    async def wait_for_connection(self, timeout: float | None = None) -> bool:
        """Wait until the browser has connected. The browser is started if it does not run.

        Args:
            timeout: Seconds; ``None`` takes ``connection_timeout``. The browser keeps starting after a timeout.

        Returns:
            True; a failure raises an error.

        Raises:
            TimeoutError: The browser has not connected in time.
            DeadlineExceeded: The browser did not connect in time.
            WebinferError: As ``start``.
        """
        # A shielded task outlives the caller's timeout, so that the next call waits for the same start.
        if self._starting is None or (self._starting.done() and not self._connection.is_healthy()):
            self._starting = asyncio.create_task(self._connection.initialize())
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(self._starting)
        except DeadlineExceeded:  # a TimeoutError too, with a reason of its own
            raise
        except TimeoutError:
            why = f"The browser did not connect within {timeout:g} s: allow more time."
            raise DeadlineExceeded(why, timeout=timeout) from None

    async def stop(self) -> None:
        """Close the browser and the host. Messages in progress fail."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
            self._starting = None
        await self._connection.close()
        await asyncio.gather(*self._sent, return_exceptions=True)

    async def send_message(self, message: Mapping[str, Any]) -> bool:
        """Send a message and do not wait for its answer. A failure is logged.

        Args:
            message: As ``send_and_wait``.

        Returns:
            Always true, as the guide has it: a failure comes later, and is logged.

        Raises:
            UnknownKind: Its ``type`` is unknown.
        """
        answer = self._kind(message)
        task = asyncio.create_task(_dict(answer(message)))
        self._sent.add(task)
        task.add_done_callback(self._forget)
        return True

    async def send_and_wait(self, message: Mapping[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """Send a message and wait for its answer.

        Args:
            message: Has a ``type``: ``get_capabilities``; ``initialize_model`` with ``model_name`` and optional
                ``platform``; or ``run_inference`` with ``model_name``, ``input`` and optional ``platform``. The answer
                has the same ``id``.
            timeout: Seconds; ``None`` takes ``message_timeout``.

        Returns:
            ``status``, ``id``, and the answer: ``capabilities``, the keys of ``initialize_model``, or the keys of the
            result.

        Raises:
            UnknownKind: Its ``type`` is unknown.
            DeadlineExceeded: No answer came in time.
            WebinferError: As the method that the ``type`` names.
        """
        answer = self._kind(message)
        limit = self.message_timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(limit):
                return await answer(message)
        except DeadlineExceeded:
            raise
        except TimeoutError:
            why = f"No answer to {message['type']} within {limit:g} s: allow more time, or send less at once."
            raise DeadlineExceeded(why, timeout=limit) from None

    async def get_browser_capabilities(self) -> dict[str, Any]:
        """Return what the browser reported of itself: engine, WebGPU adapter, WebNN contexts, WebAssembly features.

        Raises:
            WebinferError: As ``start``.
        """
        await self.wait_for_connection()
        return dict(self._connection.capabilities.report)

    async def initialize_model(
        self,
        model_name: str,
        model_type: str | None = None,  # noqa: ARG002  # the guide passes it; the family is read from the model
        platform: str = "webgpu",
        options: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Load a model, unless it is loaded.

        Args:
            model_name: Name of the model.
            model_type: Accepted because the guide passes it. The family is read from the model.
            platform: ``webgpu``, ``webnn``, ``wasm``, ``cpu`` or ``auto``.
            options: ``None`` or empty: no options are available.

        Returns:
            ``status``, ``model_name`` and ``platform``.

        Raises:
            OptionError: ``options`` is not empty.
            WebinferError: As ``AsyncAccelerator.load``.
        """
        _refuse(options)
        await self.wait_for_connection()
        await self._connection.load_model(_id(model_name, platform), {"model_name": model_name, "backend": platform})
        return {"status": "success", "model_name": model_name, "platform": platform}

    async def run_inference(
        self,
        model_name: str,
        input_data: Inputs,
        platform: str = "webgpu",
        options: Mapping[str, Any] | None = None,
    ) -> Result:
        """Run one request on a model. The model is loaded first if it is not loaded yet.

        Args:
            model_name: Name of the model.
            input_data: As ``Model.run`` takes them.
            platform: ``webgpu``, ``webnn``, ``wasm``, ``cpu`` or ``auto``.
            options: ``None`` or empty: no options are available.

        Returns:
            The outputs and what was observed.

        Raises:
            WebinferError: As ``initialize_model`` and ``AsyncModel.run``.
        """
        await self.initialize_model(model_name, platform=platform, options=options)
        return await self._connection.run_inference(_id(model_name, platform), input_data)

    def _kind(self, message: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]:
        kind = message.get("type")
        if kind not in self._kinds:
            raise UnknownKind(f"type must be one of {', '.join(self._kinds)}, not {kind!r}.", kind=kind)
        return self._kinds[kind]

    async def _answer_capabilities(self, message: Mapping[str, Any]) -> dict[str, Any]:
        return _answer(message, {"capabilities": await self.get_browser_capabilities()})

    async def _answer_model(self, message: Mapping[str, Any]) -> dict[str, Any]:
        model = await self.initialize_model(message["model_name"], platform=message.get("platform", "webgpu"))
        return _answer(message, model)

    async def _answer_inference(self, message: Mapping[str, Any]) -> dict[str, Any]:
        result = await self.run_inference(message["model_name"], message["input"], message.get("platform", "webgpu"))
        return _answer(message, result.to_dict())

    def _forget(self, task: asyncio.Task[dict[str, Any]]) -> None:
        self._sent.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a message sent by send_message failed: %s", error)


async def _dict(answer: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return await answer


def _answer(message: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": message.get("id"), "status": "success", **fields}


def _id(model_name: str, platform: str) -> str:
    return f"{model_name} on {platform}"


def _refuse(options: Mapping[str, Any] | None) -> None:
    if options:
        raise OptionError(
            f"options={dict(options)!r} is not available in this version; leave it out.", option="options"
        )
