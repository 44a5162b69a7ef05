"""A lane: one worker in a browser's page, with its own socket and its own runtime."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from webinfer.capabilities import Capabilities, Verdict
from webinfer.connection import Connection, OnReply, OnTransfer
from webinfer.errors import DeadlineExceeded, LaneLost, SocketLost, WebinferError, from_wire
from webinfer.options import Backend
from webinfer.wire import Message
from webinfer.wire.codec import Tensors


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that a lane fetches from the host: an ONNX graph, or external data that it refers to as ``path``."""

    path: str
    url: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a lane needs to create a session.

    Attributes:
        model: The graph's file.
        external: Its external data.
        backend: Backend to create it for.
        dimensions: Fixed sizes of symbolic dimensions, by name.
        device: WebNN's device type, where the backend is WebNN.
    """

    model: Asset
    external: tuple[Asset, ...]
    backend: Backend
    dimensions: tuple[tuple[str, int], ...] = ()
    device: str | None = None

    @property
    def nbytes(self) -> int:
        """Size of all files."""
        return self.model.nbytes + sum(asset.nbytes for asset in self.external)

    def fields(self, session: str) -> dict[str, Any]:
        """Return the load message's fields."""
        external = [{"path": asset.path, "url": asset.url, "nbytes": asset.nbytes} for asset in self.external]
        return {
            "session": session,
            "backend": self.backend,
            "model": {"url": self.model.url, "nbytes": self.model.nbytes},
            "external": external,
            "dimensions": dict(self.dimensions),
            "device": self.device,
        }


class Lane:
    """A connected lane.

    Attributes:
        id: Its name, ``b1.1``.
        runtime: Name, version and bundle of its runtime.
        lost: Done once it cannot be used any more, with the reason.
        blamed: Whether its loss was held against a request.
    """

    def __init__(self, name: str, connection: Connection, capabilities: Capabilities, browser: str) -> None:
        self.id = name
        self.browser = browser
        self.capabilities = capabilities
        self.runtime = "{name} {version} {bundle}".format_map(
            {"name": "", "version": "", "bundle": "", **connection.hello["runtime"]}
        )
        self.lost: asyncio.Future[WebinferError] = asyncio.get_running_loop().create_future()
        self.blamed = False
        self._connection = connection
        self._verdicts: dict[Backend, Verdict] = {}
        connection.watch(self._notice)
        connection.lost.add_done_callback(lambda lost: self.lose(lost.result()))

    def verdict(self, backend: Backend) -> Verdict:
        """Return whether that backend is hardware here; it is judged once."""
        if backend not in self._verdicts:
            self._verdicts[backend] = self.capabilities.verdict(backend)
        return self._verdicts[backend]

    def __repr__(self) -> str:
        return f"<Lane {self.id} {'lost' if self.lost.done() else 'ready'} {self._connection!r}>"

    async def load(
        self, session: str, recipe: Recipe, timeout: float, on_transfer: OnTransfer | None = None
    ) -> Message:
        """Create a session.

        Returns:
            The answer: ``inputs``, ``outputs``, ``nbytes`` and ``timing`` (ms: ``fetch``, ``create``).

        Raises:
            DeadlineExceeded: It took longer than ``timeout`` seconds. The lane is lost then: a creation that never
                settles leaves the runtime unusable.
            WebinferError: As the lane reported it.
        """
        try:
            return await self._connection.ask("load", recipe.fields(session), timeout, on_transfer)
        except TimeoutError:
            self.lose(LaneLost(f"Lane {self.id} was given up: creating a session took over {timeout:g} s."))
            raise DeadlineExceeded(
                f"Loading took over {timeout:g} s: raise load_timeout, or use a smaller model.", timeout=timeout
            ) from None

    def run(self, session: str, tensors: Tensors, outputs: list[str] | None, on_reply: OnReply) -> None:
        """Start an inference; ``on_reply`` is called once with the answer or an error.

        Raises:
            LostError: The lane is gone.
            FrameTooLarge: The inputs are over the limit.
        """
        self._connection.post("run", {"session": session, "outputs": outputs}, on_reply, tensors)

    def unload(self, session: str) -> None:
        """Release a session; nobody waits for it."""
        if not self.lost.done():
            with contextlib.suppress(SocketLost):  # then the session is gone as well
                self._connection.post("unload", {"session": session}, lambda _: None)

    def lose(self, reason: WebinferError) -> None:
        """Declare the lane lost."""
        if not self.lost.done():
            self.lost.set_result(reason)

    async def close(self) -> None:
        """Close its socket, which fails what it was running."""
        await self._connection.close()

    def _notice(self, message: Message) -> None:
        if message.kind == "lost":
            self.lose(from_wire(message.fields["error"]))
