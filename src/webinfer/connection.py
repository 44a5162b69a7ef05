"""One WebSocket from a page or a lane: the shell that gives ``wire.Session`` its bytes, its clock and its futures."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from webinfer.errors import MalformedFrame, ProtocolError, SocketLost, WebinferError
from webinfer.wire import Answer, Failure, Message, Notice, Session, Transfer
from webinfer.wire.codec import Tensors

log = logging.getLogger("webinfer.wire")

Reply = Message | WebinferError
OnReply = Callable[[Reply], None]
OnTransfer = Callable[[int, int | None], None]
OnNotice = Callable[[Message], None]

_PARTING = 1.0  # seconds that the other side may take to answer a close


class Connection:
    """A socket whose token was accepted.

    Attributes:
        role: ``"page"`` or ``"lane"``.
        hello: Fields of its first message.
        lost: Done once the socket is closed, with the reason.
        on_notice: Called with each message that answers no request.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        role: str,
        max_bytes: int,
        heartbeat: float | None,
        transport: asyncio.Transport | None = None,
    ) -> None:
        self.role = role
        self.hello: dict[str, Any] = {}
        self.lost: asyncio.Future[WebinferError] = asyncio.get_running_loop().create_future()
        self.on_notice: OnNotice | None = None
        self._notices: list[Message] = []  # that came before anyone listened
        self._socket = socket
        self._transport = transport
        self._session = Session(role, max_bytes, heartbeat, time.monotonic())
        self._replies: dict[int, OnReply] = {}
        self._transfers: dict[int, OnTransfer] = {}
        self._pulse: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.role} {'lost' if self.lost.done() else 'open'} pending={len(self._replies)}>"

    async def greet(self) -> None:
        """Wait for the hello.

        Raises:
            ProtocolError: Something else came.
        """
        message = await self._socket.receive()
        if message.type is not WSMsgType.BINARY:
            raise MalformedFrame(f"The first message of a {self.role} must be its hello.")
        event = self._session.receive(message.data, time.monotonic())
        assert isinstance(event, Notice)
        self.hello = event.message.fields
        if self._session.heartbeat is not None:
            self._pulse = asyncio.create_task(self._ping())

    async def listen(self) -> None:
        """Take in messages until the socket closes, then fail all that still waits for an answer."""
        reason: WebinferError = SocketLost(f"The {self.role}'s socket closed.")
        try:
            async for message in self._socket:
                if message.type is WSMsgType.ERROR:
                    reason = SocketLost(_breach(self.role, message.data))
                    break
                if message.type is not WSMsgType.BINARY:
                    raise MalformedFrame(f"A {self.role} sent a text message.")
                self._take(message.data)
        except ProtocolError as error:
            log.warning("%s broke the protocol: %s", self.role, error)
            reason = SocketLost(f"The {self.role}'s socket was closed: {error}", cause=error.code)
            self._lose(reason)  # before closing, which waits for the other side
            await self._end(WSCloseCode.PROTOCOL_ERROR, error.code.encode())
        finally:
            self._lose(reason)

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
        self._write(frame)
        return number

    async def ask(
        self, kind: str, fields: dict[str, Any], timeout: float, on_transfer: OnTransfer | None = None
    ) -> Message:
        """Send a request and wait for its answer.

        Raises:
            TimeoutError: None came within ``timeout`` seconds. A late one is dropped.
            WebinferError: As the other side reported it, or ``SocketLost``.
        """
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        number = self.post(
            kind, fields, lambda reply: None if future.done() else future.set_result(reply), on_transfer=on_transfer
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
            self._write(self._session.notify(kind, **fields))

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
        await self._end(WSCloseCode.OK)

    async def _end(self, code: WSCloseCode, message: bytes = b"") -> None:
        """Close the socket, in the other side's absence too: it may hang, with megabytes under way to it."""
        try:
            async with asyncio.timeout(_PARTING):
                await self._socket.close(code=code, message=message)
        except (TimeoutError, ConnectionError):
            if self._transport is not None:
                self._transport.abort()

    def _take(self, frame: bytes) -> None:
        if self.lost.done():
            return  # nobody waits for anything any more
        match self._session.receive(frame, time.monotonic()):
            case Answer(number, message):
                self._transfers.pop(number, None)
                self._replies.pop(number)(message)
            case Failure(number, error):
                self._transfers.pop(number, None)
                self._replies.pop(number)(error)
            case Transfer(number, done, total):
                if number in self._transfers:
                    self._transfers[number](done, total)
            case Notice(message):
                if self.on_notice is None:
                    self._notices.append(message)
                else:
                    self.on_notice(message)

    def _write(self, frame: bytes) -> None:
        """Hand a frame to the transport, now.

        ``send_bytes`` waits for nothing but the draining of the transport's buffer, so its first step puts the
        whole frame there. The scheduler bounds how much may be under way, so nobody waits for the rest.
        """
        writing = self._socket.send_bytes(frame)
        try:
            writing.send(None)
        except StopIteration:
            pass
        except ConnectionError:
            pass  # the reader learns of it too, and fails what waits
        else:
            writing.close()

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
            ping = self._session.tick(time.monotonic())
            if ping is None:
                log.warning("%s is silent: its socket counts as lost", self.role)
                self._lose(SocketLost(f"The {self.role} missed its heartbeats."))
                await self._end(WSCloseCode.GOING_AWAY)
                return
            self._write(ping)


def _breach(role: str, error: object) -> str:
    if isinstance(error, WebSocketError) and error.code == WSCloseCode.MESSAGE_TOO_BIG:
        return f"The {role} sent a message over the limit of max_message_mb."
    return f"The {role}'s socket broke: {error}."
