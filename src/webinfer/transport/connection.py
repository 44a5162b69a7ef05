"""One WebSocket from a page or a lane: the shell that gives a ``Conversation`` its bytes, its clock and its futures."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from webinfer.core.errors import MalformedFrame, ProtocolError, SocketLost, WebinferError
from webinfer.transport.websocket import WebSocket
from webinfer.transport.wire.codec import Tensors
from webinfer.transport.wire.commands import A, Command
from webinfer.transport.wire.conversation import Conversation, Reply
from webinfer.transport.wire.framing import GOING_AWAY, NORMAL, PROTOCOL_ERROR
from webinfer.transport.wire.messages import Failure, LaneHello, Message, Notice, PageHello, Transfer

log = logging.getLogger("webinfer.wire")

Outcome: TypeAlias = Reply[A] | WebinferError
OnOutcome: TypeAlias = Callable[[Reply[A] | WebinferError], None]
OnTransfer = Callable[[int, int | None], None]
OnNotice = Callable[[Notice], None]
OnStall = Callable[[float], None]


class Connection:
    """A socket whose token was accepted.

    Attributes:
        role: ``"page"`` or ``"lane"``.
        hello: Its first message; set once ``greet`` has returned.
        lost: Done once the socket is closed, with the reason.
        on_notice: Called with each message that answers no request.
        on_miss: Called when a ping had no answer before the next one, with how often that was so.

    ``on_stall`` is called with the seconds by which the event loop was late, where a heartbeat and more fell out.
    """

    def __init__(
        self, socket: WebSocket, role: str, max_bytes: int, heartbeat: float | None, on_stall: OnStall | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.role = role
        self.hello: PageHello | LaneHello
        self.lost: asyncio.Future[WebinferError] = loop.create_future()
        self.on_notice: OnNotice | None = None
        self.on_miss: Callable[[int], None] | None = None
        self._on_stall = on_stall
        self._notices: list[Notice] = []  # that came before anyone listened
        self._socket = socket
        self._conversation = Conversation(role, max_bytes, heartbeat, time.monotonic())
        self._replies: dict[int, OnOutcome[Any]] = {}
        self._transfers: dict[int, OnTransfer] = {}
        self._pulse: asyncio.Task[None] | None = None
        self._greeted: asyncio.Future[None] = loop.create_future()
        self._breach: ProtocolError | None = None
        socket.closed.add_done_callback(self._closed)
        socket.listen(self._take)

    def __repr__(self) -> str:
        return f"<Connection {self.role} {'lost' if self.lost.done() else 'open'} pending={len(self._replies)}>"

    async def greet(self) -> None:
        """Wait for the hello.

        Raises:
            ProtocolError: Something else came.
        """
        await self._greeted
        if self._conversation.heartbeat is not None:
            self._pulse = asyncio.create_task(self._ping())

    async def over(self) -> None:
        """Wait until the socket is lost."""
        await asyncio.wait([self.lost])

    def post(
        self,
        request: Command[A],
        on_outcome: OnOutcome[A],
        tensors: Tensors | None = None,
        on_transfer: OnTransfer | None = None,
    ) -> int:
        """Send a request without waiting.

        Args:
            request: What to ask.
            on_outcome: Called once, with the reply or an error.
            tensors: Arrays that go with it, by name.
            on_transfer: Called with the bytes that were fetched, and the total if it is known.

        Returns:
            The request's id, for ``forget``.

        Raises:
            SocketLost: The socket is closed.
            FrameTooLarge: The message is over the limit; nothing was sent.
        """
        if self.lost.done():
            raise SocketLost(f"The {self.role}'s socket is closed.")
        number, frame = self._conversation.request(request, tensors)
        self._replies[number] = on_outcome
        if on_transfer:
            self._transfers[number] = on_transfer
        self._socket.send(frame)
        return number

    async def ask(
        self,
        request: Command[A],
        timeout: float | None,
        on_transfer: OnTransfer | None = None,
        tensors: Tensors | None = None,
    ) -> Reply[A]:
        """Send a request and wait for its answer.

        Args:
            request: What to ask.
            timeout: Seconds to wait; ``None`` for as long as it takes.
            on_transfer: Called with the bytes that were fetched, and the total if it is known.
            tensors: Arrays that go with it, by name.

        Returns:
            The answer, and its tensors.

        Raises:
            TimeoutError: None came within ``timeout`` seconds. A late one is dropped.
            WebinferError: As the other side reported it, or ``SocketLost``.
        """
        future: asyncio.Future[Outcome[A]] = asyncio.get_running_loop().create_future()
        number = self.post(
            request,
            lambda outcome: None if future.done() else future.set_result(outcome),
            tensors,
            on_transfer,
        )
        try:
            async with asyncio.timeout(timeout):
                outcome = await future
        finally:
            self.forget(number)
        if isinstance(outcome, WebinferError):
            raise outcome
        return outcome

    def notify(self, message: Message) -> None:
        """Send a message that wants no answer; nothing happens when the socket is closed.

        Args:
            message: What to say.
        """
        if not self.lost.done():
            self._socket.send([self._conversation.notify(message)])

    def forget(self, number: int) -> None:
        """Stop waiting for an answer.

        Args:
            number: The request's id.
        """
        self._conversation.forget(number)
        self._replies.pop(number, None)
        self._transfers.pop(number, None)

    def watch(self, on_notice: OnNotice) -> None:
        """Have ``on_notice`` called with every message that answers no request, past ones included.

        Args:
            on_notice: Called on the event loop.
        """
        self.on_notice = on_notice
        for notice in self._notices:
            on_notice(notice)
        self._notices.clear()

    async def close(self) -> None:
        """Close the socket."""
        if self._pulse is not None:
            self._pulse.cancel()
        self._lose(SocketLost(f"The {self.role}'s socket was closed by its host."))
        if self._breach is None:
            await self._socket.close(NORMAL)
        else:
            await self._socket.close(PROTOCOL_ERROR, self._breach.code)

    def _take(self, frame: memoryview) -> None:
        if self.lost.done():
            return  # all requests have failed already
        try:
            received = self._conversation.receive(frame, time.monotonic())
        except ProtocolError as breach:
            self._refuse(breach)
            return
        match received:
            # The conversation passes on only answers to pending requests, so their ids are known here.
            case Reply():
                if self._transfers:
                    self._transfers.pop(received.id, None)
                self._replies.pop(received.id)(received)
            case Failure():
                self._transfers.pop(received.id, None)
                self._replies.pop(received.id)(received.error.to_exception())
            case Transfer():
                if received.id in self._transfers:
                    self._transfers[received.id](received.done, received.total)
            case PageHello() | LaneHello():
                self.hello = received
                self._greeted.set_result(None)
            case None:
                pass
            case notice:
                self._notice(notice)

    def _notice(self, notice: Notice) -> None:
        if self.on_notice is None:
            self._notices.append(notice)
        else:
            self.on_notice(notice)

    def _refuse(self, error: ProtocolError) -> None:
        """Give up a side that broke the protocol; the owner of the connection closes it."""
        log.warning("%s broke the protocol: %s", self.role, error)
        self._breach = error
        if not self._greeted.done():
            self._greeted.set_exception(error)
        self._lose(SocketLost(f"The {self.role}'s socket was closed: {error}", cause=error.code))

    def _closed(self, closed: asyncio.Future[str]) -> None:
        if not self._greeted.done():
            self._greeted.set_exception(MalformedFrame(f"The first message of a {self.role} must be its hello."))
        self._lose(SocketLost(f"The {self.role}'s socket closed: {closed.result()}."))

    def _lose(self, reason: WebinferError) -> None:
        if not self.lost.done():
            # First the state, then the callbacks, which may post or forget. They are called in the order of sending:
            # the first request is what a lane was computing, and the pool blames that one.
            self.lost.set_result(reason)
            replies, self._replies = self._replies, {}
            self._transfers.clear()
            for on_outcome in replies.values():
                on_outcome(reason)

    async def _ping(self) -> None:
        assert self._conversation.heartbeat is not None
        while True:
            await asyncio.sleep(self._conversation.heartbeat)
            missed = self._conversation.missed
            ping = self._conversation.tick(time.monotonic())
            if self.on_miss is not None and self._conversation.missed > missed:
                self.on_miss(self._conversation.missed)
            if self._on_stall is not None and self._conversation.stalled >= self._conversation.heartbeat:
                self._on_stall(self._conversation.stalled)
            if ping is None:
                log.warning("%s is silent: its socket counts as lost", self.role)
                self._lose(SocketLost(f"The {self.role} missed its heartbeats."))
                await self._socket.close(GOING_AWAY)
                return
            self._socket.send([ping])
