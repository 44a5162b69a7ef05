"""One WebSocket from a page or a lane: the shell that gives ``wire.Session`` its bytes, its clock and its futures."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from webinfer.core.errors import MalformedFrame, ProtocolError, SocketLost, WebinferError
from webinfer.transport.websocket import WebSocket
from webinfer.transport.wire import Answer, Failure, Message, Notice, Session, Transfer
from webinfer.transport.wire.codec import Tensors
from webinfer.transport.wire.framing import GOING_AWAY, NORMAL, PROTOCOL_ERROR

log = logging.getLogger("webinfer.wire")

Reply = Message | WebinferError
OnReply = Callable[[Reply], None]
OnTransfer = Callable[[int, int | None], None]
OnNotice = Callable[[Message], None]
OnStall = Callable[[float], None]


class Connection:
    """A socket whose token was accepted.

    Attributes:
        role: ``"page"`` or ``"lane"``.
        hello: Fields of its first message.
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
        self.hello: dict[str, Any] = {}
        self.lost: asyncio.Future[WebinferError] = loop.create_future()
        self.on_notice: OnNotice | None = None
        self.on_miss: Callable[[int], None] | None = None
        self._on_stall = on_stall
        self._notices: list[Message] = []  # that came before anyone listened
        self._socket = socket
        self._session = Session(role, max_bytes, heartbeat, time.monotonic())
        self._replies: dict[int, OnReply] = {}
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
        if self._session.heartbeat is not None:
            self._pulse = asyncio.create_task(self._ping())

    async def over(self) -> None:
        """Wait until the socket is lost."""
        await asyncio.wait([self.lost])

    def post(
        self,
        kind: str,
        fields: dict[str, Any],
        on_reply: OnReply,
        tensors: Tensors | None = None,
        on_transfer: OnTransfer | None = None,
    ) -> int:
        """Send a request without waiting; ``on_reply`` is called once, with the answer or an error.

        Returns:
            The request's id, for ``forget``.

        Raises:
            SocketLost: The socket is closed.
            FrameTooLarge: The message is over the limit; nothing was sent.
        """
        if self.lost.done():
            raise SocketLost(f"The {self.role}'s socket is closed.")
        number, frame = self._session.request(kind, fields, tensors)
        self._replies[number] = on_reply
        if on_transfer:
            self._transfers[number] = on_transfer
        self._socket.send(frame)
        return number

    async def ask(
        self,
        kind: str,
        fields: dict[str, Any],
        timeout: float,
        on_transfer: OnTransfer | None = None,
        tensors: Tensors | None = None,
    ) -> Message:
        """Send a request and wait for its answer.

        Raises:
            TimeoutError: None came within ``timeout`` seconds. A late one is dropped.
            WebinferError: As the other side reported it, or ``SocketLost``.
        """
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        number = self.post(
            kind,
            fields,
            lambda reply: None if future.done() else future.set_result(reply),
            tensors,
            on_transfer,
        )
        try:
            async with asyncio.timeout(timeout):
                reply = await future
        finally:
            self.forget(number)
        if isinstance(reply, WebinferError):
            raise reply
        return reply

    def notify(self, kind: str, **fields: Any) -> None:
        """Send a message that wants no answer; nothing happens when the socket is closed."""
        if not self.lost.done():
            self._socket.send([self._session.notify(kind, **fields)])

    def forget(self, number: int) -> None:
        """Stop waiting for an answer."""
        self._session.forget(number)
        self._replies.pop(number, None)
        self._transfers.pop(number, None)

    def watch(self, on_notice: OnNotice) -> None:
        """Have ``on_notice`` called with every message that answers no request, past ones included."""
        self.on_notice = on_notice
        for message in self._notices:
            on_notice(message)
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
            return  # nobody waits for anything any more
        try:
            event = self._session.receive(frame, time.monotonic())
        except ProtocolError as breach:
            self._refuse(breach)
            return
        match event:
            case Answer(number, message):
                if self._transfers:
                    self._transfers.pop(number, None)
                self._replies.pop(number)(message)
            case Failure(number, error):
                self._transfers.pop(number, None)
                self._replies.pop(number)(error)
            case Transfer(number, done, total):
                if number in self._transfers:
                    self._transfers[number](done, total)
            case Notice(message):
                self._notice(message)

    def _notice(self, message: Message) -> None:
        if not self._greeted.done():
            self.hello = message.fields
            self._greeted.set_result(None)
        elif self.on_notice is None:
            self._notices.append(message)
        else:
            self.on_notice(message)

    def _refuse(self, error: ProtocolError) -> None:
        """Give up a side that broke the protocol; whoever holds the connection closes it."""
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
            self.lost.set_result(reason)
            replies, self._replies = self._replies, {}
            self._transfers.clear()
            for on_reply in replies.values():
                on_reply(reason)

    async def _ping(self) -> None:
        assert self._session.heartbeat is not None
        while True:
            await asyncio.sleep(self._session.heartbeat)
            missed = self._session.missed
            ping = self._session.tick(time.monotonic())
            if self.on_miss is not None and self._session.missed > missed:
                self.on_miss(self._session.missed)
            if self._on_stall is not None and self._session.stalled >= self._session.heartbeat:
                self._on_stall(self._session.stalled)
            if ping is None:
                log.warning("%s is silent: its socket counts as lost", self.role)
                self._lose(SocketLost(f"The {self.role} missed its heartbeats."))
                await self._socket.close(GOING_AWAY)
                return
            self._socket.send([ping])
