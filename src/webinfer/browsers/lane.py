"""A lane: one worker in a browser's page, with its own socket and its own runtime."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from webinfer.browsers.recipe import Recipe, Residents
from webinfer.core.capabilities import Capabilities, Verdict
from webinfer.core.errors import (
    DeadlineExceeded,
    LaneLost,
    LostError,
    MalformedFrame,
    OperatorFallback,
    RuntimeDied,
    SocketLost,
    WebinferError,
)
from webinfer.core.options import Backend
from webinfer.core.placement import LaneId, Placement, refuse_fallback
from webinfer.transport.connection import Connection, OnOutcome, OnTransfer, Outcome
from webinfer.transport.wire.answers import (
    FeatureAnswer,
    KeptTensor,
    LoadAnswer,
    MeasureAnswer,
    ProfileAnswer,
    RunAnswer,
)
from webinfer.transport.wire.codec import Tensors
from webinfer.transport.wire.commands import (
    FeatureCommand,
    FreeCommand,
    MeasureCommand,
    ReadCommand,
    RunCommand,
    UnloadCommand,
)
from webinfer.transport.wire.conversation import Reply
from webinfer.transport.wire.messages import DeviceFailure, LaneHello, Notice


class LaneBrowser(Protocol):
    """What a lane needs of the browser that it is in."""

    @property
    def name(self) -> str:
        """The browser's name, ``firefox``."""

    @property
    def capabilities(self) -> Capabilities:
        """What the browser can do, as far as is known by now."""

    def verdict(self, backend: Backend) -> Verdict:
        """Return whether a backend is hardware there.

        Args:
            backend: The backend.
        """

    def lane_lost(self, lane: Lane, reason: WebinferError) -> None:
        """Take note that a lane cannot be used any more.

        Args:
            lane: The lane.
            reason: Why.
        """


class Lane:
    """A connected lane.

    Args:
        id: Which one it is.
        connection: Its socket.
        browser: The browser that it is in. It is notified of the lane's loss at once.

    Attributes:
        id: Which one it is.
        runtime: Name, version and bundle of its runtime.
        born: When it started, on the loop's clock.
        lost: Done once it cannot be used any more, with the reason.
        blamed: Whether its loss was held against a request.
        retired: Whether its end is meant: it takes nothing more.
        kept: The tensors that callers have it keep, by handle.
    """

    def __init__(self, id: LaneId, connection: Connection, browser: LaneBrowser) -> None:
        self.id = id
        assert isinstance(connection.hello, LaneHello)
        self.runtime = str(connection.hello.runtime)
        self.lost: asyncio.Future[WebinferError] = asyncio.get_running_loop().create_future()
        self.born = asyncio.get_running_loop().time()
        self.blamed = self.retired = False
        self.kept: dict[str, KeptTensor] = {}
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
        """Return whether that backend is hardware here.

        Args:
            backend: The backend.
        """
        return self._browser.verdict(backend)

    def __repr__(self) -> str:
        return f"<Lane {self.id} {'lost' if self.lost.done() else 'ready'} {self._connection!r}>"

    async def load(
        self, session: str, recipe: Recipe, timeout: float, on_transfer: OnTransfer | None = None
    ) -> LoadAnswer:
        """Create a session.

        Args:
            session: Its name.
            recipe: How it is created.
            timeout: Seconds until it is given up, and the lane with it.
            on_transfer: Called with the bytes that were fetched, and the total if it is known.

        Returns:
            What the lane measured of it: times, size, and where the nodes went.

        Raises:
            DeadlineExceeded: It took longer than ``timeout`` seconds. The lane is lost then: a creation that never
                settles leaves the runtime unusable.
            OperatorFallback: Some nodes went to another backend, and the recipe forbids that.
            WebinferError: As the lane reported it.
        """
        try:
            answer = (await self._connection.ask(recipe.load_command(session), timeout, on_transfer)).answer
        except TimeoutError:
            self.lose(LaneLost(f"Lane {self.id} was given up: creating a session took over {timeout:g} s."))
            raise DeadlineExceeded(
                f"Loading took over {timeout:g} s: raise load_timeout, or use a smaller model.", timeout=timeout
            ) from None
        except LostError as error:
            self.lose(error)
            raise self._loss_of(error) from None
        self._outputs[session] = recipe.outputs
        placement = Placement.of(recipe.backend, answer.placement) if answer.placement else None
        self._placements[session] = placement
        if recipe.whole:
            try:
                refuse_fallback(placement, recipe.backend)
            except OperatorFallback:
                self.unload(session)
                raise
        return answer

    def runtime_of(self, bundle: str) -> str:
        """Return the runtime's name and version with another of its builds.

        Args:
            bundle: The build.
        """
        return f"{self.runtime.rpartition(' ')[0]} {bundle}"

    def placement(self, session: str) -> Placement | None:
        """Return which backends a session's nodes went to; ``None`` where the runtime does not report it.

        Args:
            session: Its name on the wire.
        """
        return self._placements.get(session)

    def run(
        self,
        session: str,
        tensors: Tensors,
        outputs: list[str] | None,
        on_outcome: OnOutcome[RunAnswer],
        residents: Residents | None = None,
    ) -> None:
        """Start an inference.

        An error that means a loss ends the lane, and what is passed on is why the lane was lost. An answer that
        does not hold the outputs asked for, in the model's dtypes, is a ``MalformedFrame`` and the lane's end as well:
        what mixed up one answer may mix up the next.

        Args:
            session: The session's name.
            tensors: Inputs by name.
            outputs: Outputs to send; ``None`` for all.
            on_outcome: Called once with the reply or an error.
            residents: Tensors that stay on the lane.

        Raises:
            FrameTooLarge: The inputs are over the limit.
        """
        command = RunCommand(session=session, outputs=outputs)
        if residents is not None:
            command.feeds, command.keep, command.free = residents.feeds, residents.keep, residents.free
            command.describe = residents.describe
        judge = partial(self._judge, self._outputs[session], outputs, on_outcome)
        try:
            self._connection.post(command, judge, tensors)
        except LostError as error:  # nothing was sent, so no request is to blame; the caller may be in mid-plan
            self.blamed = True
            asyncio.get_running_loop().call_soon(judge, error)

    async def features(
        self, tensors: Tensors, length: int, hop: int, workgroup: tuple[int, int], timeout: float
    ) -> Reply[FeatureAnswer]:
        """Make a log-mel spectrogram on the GPU.

        Args:
            tensors: ``samples``, float32 of shape (samples,), and ``filters``, float32 of shape (mels, bins).
            length: Samples that the spectrogram covers; fewer are filled up with silence.
            hop: Samples from one window to the next.
            workgroup: Invocations of a workgroup, across frames and down rows.
            timeout: Seconds until it is given up.

        Returns:
            The reply, with the tensor ``input_features``, float32 of shape (1, mels, length / hop).

        Raises:
            TimeoutError: It took longer.
            MalformedFrame: The answer is something else.
            WebinferError: As the lane reported it.
        """
        request = FeatureCommand(length=length, hop=hop, workgroup=workgroup)
        reply = await self._connection.ask(request, timeout, tensors=tensors)
        features, shape = reply.tensors.get("input_features"), (1, len(tensors["filters"]), length // hop)
        if features is None or features.dtype != np.float32 or features.shape != shape:
            raise MalformedFrame(f"Lane {self.id} answered with no spectrogram of shape {shape}.", lane=str(self.id))
        return reply

    async def measure(self, seconds: float, timeout: float) -> MeasureAnswer:
        """Time the GPU device and one thread of WebAssembly, when the lane has come to it.

        Args:
            seconds: About what it may take.
            timeout: Seconds until it is given up.

        Returns:
            How fast both are, as the lane measured it.

        Raises:
            TimeoutError: No answer came within ``timeout`` seconds.
            WebinferError: As the lane reported it.
        """
        return (await self._connection.ask(MeasureCommand(limit=seconds * 1e3), timeout)).answer

    async def profile(
        self, recipe: Recipe, tensors: Tensors, *, operators: bool, runs: int, seconds: float, timeout: float
    ) -> ProfileAnswer:
        """Measure a model in a session of its own.

        Args:
            recipe: How it is created.
            tensors: A run's inputs.
            operators: Measure operators, and not the parts of a run.
            runs: Runs that count, at most; one more goes before them.
            seconds: When no further run begins.
            timeout: Seconds until it is given up, and the lane with it.

        Returns:
            The parts of each run, or each operator's time.

        Raises:
            DeadlineExceeded: It took longer.
            WebinferError: As the lane reported it.
        """
        request = recipe.profile_command(operators, runs, seconds)
        try:
            return (await self._connection.ask(request, timeout, tensors=tensors)).answer
        except TimeoutError:
            self.lose(LaneLost(f"Lane {self.id} was given up: measuring a model took over {timeout:g} s."))
            raise DeadlineExceeded(f"Measuring took over {timeout:g} s: raise load_timeout.", timeout=timeout) from None

    def unload(self, session: str) -> None:
        """Release a session; nobody waits for it.

        Args:
            session: Its name on the wire.
        """
        self._outputs.pop(session, None)
        self._placements.pop(session, None)
        if not self.lost.done():
            with contextlib.suppress(SocketLost):  # then the session is gone as well
                self._connection.post(UnloadCommand(session=session), lambda _: None)

    def free(self, handles: Sequence[str]) -> None:
        """Release tensors that stayed here; nobody waits for it.

        Args:
            handles: Names of the tensors.
        """
        for handle in handles:
            self.kept.pop(handle, None)
        if not self.lost.done():
            with contextlib.suppress(SocketLost):  # then they are gone as well
                self._connection.post(FreeCommand(handles=handles), lambda _: None)

    async def read(self, handle: str, timeout: float | None) -> NDArray[Any]:
        """Return a tensor that stays here.

        Args:
            handle: Its name.
            timeout: Seconds until it is given up; ``None`` for never.

        Raises:
            TimeoutError: It took longer.
            HandleLost: There is no such tensor.
            MalformedFrame: The answer is something else.
            WebinferError: As the lane reported it.
        """
        reply = await self._connection.ask(ReadCommand(handles=[handle]), timeout)
        if list(reply.tensors) != [handle]:
            raise MalformedFrame(f"Lane {self.id} answered with no tensor {handle}.", lane=str(self.id))
        return reply.tensors[handle]

    def lose(self, reason: WebinferError) -> None:
        """Declare the lane lost. The first reason counts, and the lane's browser is notified before this returns.

        Args:
            reason: Why.
        """
        if not self.lost.done():
            self.lost.set_result(reason)
            self._browser.lane_lost(self, reason)

    async def close(self) -> None:
        """Close its socket, which fails what it was running."""
        await self._connection.close()

    def _judge(
        self,
        known: Mapping[str, np.dtype[Any]],
        wanted: list[str] | None,
        on_outcome: OnOutcome[RunAnswer],
        outcome: Outcome[RunAnswer],
    ) -> None:
        """Pass an outcome on, and lose the lane where it means a loss or answers something else than was asked."""
        if isinstance(outcome, LostError):
            self.lose(outcome)  # before on_outcome, which must find the lane out of the registry
            outcome = self._loss_of(outcome)
        elif isinstance(outcome, Reply) and (why := _mismatch(outcome.tensors, known, wanted)):
            self.lose(LaneLost(f"Lane {self.id} was ended: it answered a run with {why}."))
            outcome = MalformedFrame(f"Lane {self.id} answered a run with {why}. It is replaced.", lane=str(self.id))
        on_outcome(outcome)

    def _loss_of(self, error: LostError) -> WebinferError:
        """Return why a request was lost: as the lane said, or, if only its socket closed, why that was."""
        reason = self.lost.result()
        if not isinstance(error, SocketLost):
            return error
        if isinstance(reason, RuntimeDied):  # what it died of was answered before the socket closed: it is another one
            return LaneLost(str(reason), bystander=True)
        return reason

    def _notice(self, notice: Notice) -> None:
        if isinstance(notice, DeviceFailure):
            self.lose(notice.error.to_exception())


def _mismatch(tensors: Tensors, known: Mapping[str, np.dtype[Any]], wanted: list[str] | None) -> str | None:
    """Return what an answer has that the model does not give, or ``None``."""
    names = known if wanted is None else wanted
    for name in names:
        if name not in tensors:
            return f"{len(tensors)} outputs, {name!r} not among them"
        if tensors[name].dtype != known[name]:
            return f"{name!r} in {tensors[name].dtype}, not {known[name]}"
    if len(tensors) > len(set(names)):
        return f"{len(tensors)} outputs, not {len(set(names))}"
    return None
