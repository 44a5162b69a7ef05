"""A lane: one worker in a browser's page, with its own socket and its own runtime."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from webinfer.core.capabilities import Capabilities, Verdict
from webinfer.core.errors import (
    DeadlineExceeded,
    LaneLost,
    LostError,
    MalformedFrame,
    OperatorFallback,
    SocketLost,
    WebinferError,
    from_wire,
)
from webinfer.core.lane_id import LaneId
from webinfer.core.options import Backend
from webinfer.core.placement import Placement, refuse_fallback
from webinfer.transport.connection import Connection, OnReply, OnTransfer, Reply
from webinfer.transport.wire import Message
from webinfer.transport.wire.codec import Tensors


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
        outputs: The model's outputs, dtype by name, which every answer of the lane is held against.
        store: Keep the files in the browser's own storage, and take them from there.
        resident: Outputs that WebGPU leaves in its own memory.
        capture: Have WebGPU record its run and replay it, if the runtime can.
        whole: Refuse a session some of whose nodes went to another backend.
    """

    model: Asset
    external: tuple[Asset, ...]
    backend: Backend
    dimensions: tuple[tuple[str, int], ...] = ()
    device: str | None = None
    outputs: Mapping[str, np.dtype[Any]] = field(default_factory=dict)
    store: bool = False
    whole: bool = False
    resident: tuple[str, ...] = ()
    capture: bool = False

    @property
    def nbytes(self) -> int:
        """Size of all files."""
        return self.model.nbytes + sum(asset.nbytes for asset in self.external)

    def fields(self, session: str) -> dict[str, Any]:
        """Return the load message's fields."""
        return {
            "session": session,
            "resident": list(self.resident),
            "capture": self.capture,
            **self.files(),
        }

    def files(self) -> dict[str, Any]:
        """Return what a session is made of."""
        external = [{"path": asset.path, "url": asset.url, "nbytes": asset.nbytes} for asset in self.external]
        return {
            "backend": self.backend,
            "model": {"url": self.model.url, "nbytes": self.model.nbytes},
            "external": external,
            "dimensions": dict(self.dimensions),
            "device": self.device,
            "store": self.store,
        }


@dataclass(frozen=True, slots=True)
class Residents:
    """Tensors of a run that stay on the lane, under handles that name one tensor each.

    Attributes:
        feeds: Handles of inputs that are there already, by input.
        keep: Handles to keep outputs under, by output, which are not sent unless asked for as well; or to keep inputs
            of this run under, by input.
        free: Handles to release once the run has succeeded.
    """

    feeds: Mapping[str, str]
    keep: Mapping[str, str]
    free: tuple[str, ...] = ()

    def fields(self) -> dict[str, Any]:
        """Return the run message's fields."""
        return {"feeds": dict(self.feeds), "keep": dict(self.keep), "free": list(self.free)}


class LaneBrowser(Protocol):
    """What a lane needs of the browser that it is in."""

    @property
    def name(self) -> str:
        """The browser's name, ``firefox``."""

    @property
    def capabilities(self) -> Capabilities:
        """What the browser can do, as far as is known by now."""

    def verdict(self, backend: Backend) -> Verdict:
        """Return whether a backend is hardware there."""

    def lane_lost(self, lane: Lane, reason: WebinferError) -> None:
        """Take note that a lane cannot be used any more."""


class Lane:
    """A connected lane.

    Args:
        id: Which one it is.
        connection: Its socket.
        browser: The browser that it is in. It is told of the lane's loss at once.

    Attributes:
        id: Which one it is.
        runtime: Name, version and bundle of its runtime.
        born: When it started, on the loop's clock.
        lost: Done once it cannot be used any more, with the reason.
        blamed: Whether its loss was held against a request.
        retired: Whether its end is meant: it takes nothing more.
    """

    def __init__(self, id: LaneId, connection: Connection, browser: LaneBrowser) -> None:
        self.id = id
        self.runtime = "{name} {version} {bundle}".format_map(
            {"name": "", "version": "", "bundle": "", **connection.hello["runtime"]}
        )
        self.lost: asyncio.Future[WebinferError] = asyncio.get_running_loop().create_future()
        self.born = asyncio.get_running_loop().time()
        self.blamed = self.retired = False
        self._browser = browser
        self._connection = connection
        self._placements: dict[str, Placement | None] = {}  # by session
        self._outputs: dict[str, Mapping[str, np.dtype[Any]]] = {}  # by session
        connection.watch(self._notice)
        connection.lost.add_done_callback(lambda lost: self.lose(lost.result()))

    @property
    def browser_name(self) -> str:
        """Its browser's name, ``firefox``."""
        return self._browser.name

    @property
    def capabilities(self) -> Capabilities:
        """What its browser can do, as far as is known by now."""
        return self._browser.capabilities

    def verdict(self, backend: Backend) -> Verdict:
        """Return whether that backend is hardware here."""
        return self._browser.verdict(backend)

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
            OperatorFallback: Some nodes went to another backend, and the recipe forbids that.
            WebinferError: As the lane reported it.
        """
        try:
            answer = await self._connection.ask("load", recipe.fields(session), timeout, on_transfer)
        except TimeoutError:
            self.lose(LaneLost(f"Lane {self.id} was given up: creating a session took over {timeout:g} s."))
            raise DeadlineExceeded(
                f"Loading took over {timeout:g} s: raise load_timeout, or use a smaller model.", timeout=timeout
            ) from None
        except LostError as error:
            self.lose(error)
            raise self.lost.result() from None
        self._outputs[session] = recipe.outputs
        placement = self._placements[session] = Placement.of(recipe.backend, answer.fields.get("placement"))
        if recipe.whole:
            try:
                refuse_fallback(placement, recipe.backend)
            except OperatorFallback:
                self.unload(session)
                raise
        return answer

    def placement(self, session: str) -> Placement | None:
        """Return where the nodes of a session went, where the runtime told."""
        return self._placements.get(session)

    def run(
        self,
        session: str,
        tensors: Tensors,
        outputs: list[str] | None,
        on_reply: OnReply,
        residents: Residents | None = None,
    ) -> None:
        """Start an inference; ``on_reply`` is called once with the answer or an error.

        An error that tells of a loss is the lane's end, and what is passed on is why the lane was lost. An answer that
        does not hold the outputs asked for, in the model's dtypes, is a ``MalformedFrame`` and the lane's end as well:
        what mixed up one answer may mix up the next.

        Raises:
            FrameTooLarge: The inputs are over the limit.
        """
        stays = residents.fields() if residents else {}
        reply = partial(self._judge, self._outputs[session], outputs, on_reply)
        try:
            self._connection.post("run", {"session": session, "outputs": outputs, **stays}, reply, tensors)
        except LostError as error:  # nothing was sent, so no request is to blame; the caller may be in mid-plan
            self.blamed = True
            asyncio.get_running_loop().call_soon(reply, error)

    async def features(
        self, tensors: Tensors, length: int, hop: int, workgroup: tuple[int, int], timeout: float
    ) -> Message:
        """Make a log-mel spectrogram on the GPU; see ``hearing``.

        Args:
            tensors: ``samples``, float32 of shape (samples,), and ``filters``, float32 of shape (mels, bins).
            length: Samples that are heard; fewer are filled up with silence.
            hop: Samples from one window to the next.
            workgroup: Invocations of a workgroup, across frames and down rows.
            timeout: Seconds until it is given up.

        Returns:
            The answer: ``input_features``, float32 of shape (1, mels, length / hop), and ``timing`` (ms: ``wait``,
            ``run``).

        Raises:
            TimeoutError: It took longer.
            MalformedFrame: The answer is something else.
            WebinferError: As the lane reported it.
        """
        fields = {"length": length, "hop": hop, "workgroup": list(workgroup)}
        answer = await self._connection.ask("features", fields, timeout, tensors=tensors)
        features, shape = answer.tensors.get("input_features"), (1, len(tensors["filters"]), length // hop)
        if features is None or features.dtype != np.float32 or features.shape != shape:
            raise MalformedFrame(f"Lane {self.id} answered with no spectrogram of shape {shape}.", lane=str(self.id))
        return answer

    async def measure(self, seconds: float, timeout: float) -> Mapping[str, Any]:
        """Time the GPU device and one thread of WebAssembly, in about so many seconds, when the lane has come to it.

        Raises:
            TimeoutError: No answer came within ``timeout`` seconds.
            WebinferError: As the lane reported it.
        """
        return (await self._connection.ask("measure", {"limit": seconds * 1000}, timeout)).fields

    async def profile(
        self, recipe: Recipe, tensors: Tensors, *, operators: bool, runs: int, seconds: float, timeout: float
    ) -> Mapping[str, Any]:
        """Measure a model in a session of its own; see ``measuring``.

        Args:
            recipe: How it is created.
            tensors: A run's inputs.
            operators: Measure operators, and not the parts of a run.
            runs: Runs that count, at most; one more goes before them.
            seconds: When no further run begins.
            timeout: Seconds until it is given up, and the lane with it.

        Returns:
            The answer's fields: ``phases`` and ``operators``.

        Raises:
            DeadlineExceeded: It took longer.
            WebinferError: As the lane reported it.
        """
        fields = {**recipe.files(), "operators": operators, "runs": runs, "limit": seconds * 1e3}
        try:
            return (await self._connection.ask("profile", fields, timeout, tensors=tensors)).fields
        except TimeoutError:
            self.lose(LaneLost(f"Lane {self.id} was given up: measuring a model took over {timeout:g} s."))
            raise DeadlineExceeded(f"Measuring took over {timeout:g} s: raise load_timeout.", timeout=timeout) from None

    def unload(self, session: str) -> None:
        """Release a session; nobody waits for it."""
        self._outputs.pop(session, None)
        self._placements.pop(session, None)
        if not self.lost.done():
            with contextlib.suppress(SocketLost):  # then the session is gone as well
                self._connection.post("unload", {"session": session}, lambda _: None)

    def free(self, handles: Sequence[str]) -> None:
        """Release tensors that stayed here; nobody waits for it."""
        if not self.lost.done():
            with contextlib.suppress(SocketLost):  # then they are gone as well
                self._connection.post("free", {"handles": list(handles)}, lambda _: None)

    def lose(self, reason: WebinferError) -> None:
        """Declare the lane lost. The first reason counts, and the lane's browser is told of it before this returns."""
        if not self.lost.done():
            self.lost.set_result(reason)
            self._browser.lane_lost(self, reason)

    async def close(self) -> None:
        """Close its socket, which fails what it was running."""
        await self._connection.close()

    def _judge(
        self, known: Mapping[str, np.dtype[Any]], wanted: list[str] | None, on_reply: OnReply, reply: Reply
    ) -> None:
        """Pass a reply on, unless it tells of a loss or answers something else than was asked."""
        if isinstance(reply, LostError):
            self.lose(reply)
            reply = self.lost.result()  # a closed socket is only how the loss was noticed
        elif isinstance(reply, Message) and (why := _mismatch(reply.tensors, known, wanted)):
            self.lose(LaneLost(f"Lane {self.id} was ended: it answered a run with {why}."))
            reply = MalformedFrame(f"Lane {self.id} answered a run with {why}. It is replaced.", lane=str(self.id))
        on_reply(reply)

    def _notice(self, message: Message) -> None:
        if message.kind == "lost":
            self.lose(from_wire(message.fields["error"]))


def _mismatch(tensors: Tensors, known: Mapping[str, np.dtype[Any]], wanted: list[str] | None) -> str | None:
    """Say in what an answer differs from what the model gives, or ``None``."""
    names = known if wanted is None else wanted
    for name in names:
        if name not in tensors:
            return f"{len(tensors)} outputs, {name!r} not among them"
        if tensors[name].dtype != known[name]:
            return f"{name!r} in {tensors[name].dtype}, not {known[name]}"
    if len(tensors) > len(set(names)):
        return f"{len(tensors)} outputs, not {len(set(names))}"
    return None
