"""A browser's WebSocket after its handshake: an asyncio protocol that calls back, without a task between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web

from webinfer.transport.wire.codec import Parts
from webinfer.transport.wire.framing import (
    BINARY,
    CLOSE,
    NORMAL,
    PING,
    PONG,
    TEXT,
    UNSUPPORTED,
    FrameReader,
    FramingError,
    accept_key,
    frame_header,
)

log = logging.getLogger("webinfer.host")

_INBOX = 1 << 18  # bytes read from the kernel at once
_PARTING = 1.0  # seconds that the other side may take to answer a close


class WebSocket(asyncio.BufferedProtocol):
    """An open socket.

    Attributes:
        on_message: Called with each binary message, and with those that came before it was set.
        closed: Done once nothing can come any more, with the reason.
    """

    def __init__(self, transport: asyncio.Transport, below: asyncio.BaseProtocol, max_bytes: int) -> None:
        self.transport = transport
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.on_message: Callable[[memoryview], None] | None = None
        self._below = below  # the HTTP protocol, which must hear of the end
        self._inbox = memoryview(bytearray(_INBOX))
        self._reader = FrameReader(max_bytes)
        self._early: list[memoryview] = []
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parted = False  # a close frame was sent

    def __repr__(self) -> str:
        return f"<WebSocket {'closed' if self.closed.done() else 'open'}>"

    @classmethod
    async def accept(cls, request: web.Request, max_bytes: int) -> tuple[WebSocket, web.StreamResponse]:
        """Answer a handshake and take the connection over (RFC 6455, section 4.2.2). No extension is agreed to.

        Args:
            request: The handshake.
            max_bytes: Bytes that a message may have.

        Returns:
            The socket, and the response that the request's handler must return once the socket is closed.

        Raises:
            ConnectionResetError: The peer is gone.
            HTTPBadRequest: It is no handshake of version 13.
        """
        key = request.headers.get("Sec-WebSocket-Key")
        asked = request.headers.get("Upgrade", "").lower(), request.headers.get("Sec-WebSocket-Version")
        if key is None or asked != ("websocket", "13"):
            raise web.HTTPBadRequest(text="This address takes WebSocket handshakes of version 13 only.")
        response = web.StreamResponse(
            status=101,
            headers={"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept_key(key)},
        )
        response.force_close()  # no other HTTP request may follow on this connection
        await response.prepare(request)
        # From here on nothing awaits: a frame that came before set_protocol() would go to the HTTP parser.
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("The browser hung up during its handshake.")
        socket = cls(transport, transport.get_protocol(), max_bytes)
        transport.set_protocol(socket)
        return socket, response

    def listen(self, on_message: Callable[[memoryview], None]) -> None:
        """Have ``on_message`` called with each binary message, in memory of its own, past ones included.

        Args:
            on_message: Called on the event loop.
        """
        self.on_message = on_message
        early, self._early = self._early, []
        for data in early:
            on_message(data)

    def send(self, parts: Parts) -> None:
        """Send a binary message, without waiting; nothing happens when the socket is closed.

        Args:
            parts: Its bytes. Large ones must not change until the message was answered: they may not be copied.
        """
        if self._parted or self.transport.is_closing():
            return
        write = self.transport.write  # one call for the header and the first part: most messages have no other
        write(frame_header(BINARY, sum(map(len, parts))) + parts[0])
        for part in parts[1:]:
            write(part)

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close the socket, and hang up on a side that does not answer: it may be frozen, with megabytes under way.

        Args:
            code: Status code of RFC 6455, section 7.4.
            reason: Why, in words.
        """
        self._part(code, reason.encode())
        try:
            async with asyncio.timeout(_PARTING):
                await asyncio.shield(self._gone)
        except TimeoutError:
            self.abort()
            await self._gone

    def abort(self) -> None:
        """Hang up."""
        self.transport.abort()

    # What the event loop calls

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Return where to put what comes."""
        return self._inbox

    def buffer_updated(self, nbytes: int) -> None:
        """Take in what came.

        Args:
            nbytes: Bytes that came.
        """
        try:
            for opcode, data in self._reader.feed(self._inbox[:nbytes]):
                if opcode != BINARY:
                    self._control(opcode, data)
                elif self.on_message is None:
                    self._early.append(data)
                else:
                    self.on_message(data)
        except FramingError as error:
            self._end(str(error))
            self._part(error.code, str(error).encode())
            self.transport.close()

    def eof_received(self) -> bool:
        """Return that the socket closes: a WebSocket is not half open."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody.

        Args:
            exc: What broke it; ``None`` where it was closed.
        """
        self._end("it broke off" if exc is None else str(exc))
        if not self._gone.done():
            self._gone.set_result(None)
        self._below.connection_lost(exc)

    def _control(self, opcode: int, data: memoryview) -> None:
        if opcode == PING:
            self._write(PONG, bytes(data))
        elif opcode == TEXT:
            self._end("a text message came")
            self._part(UNSUPPORTED, b"binary messages only")
        elif opcode == CLOSE:
            self._end("the other side closed it")
            self._part(NORMAL)
            self.transport.close()

    def _part(self, code: int, reason: bytes = b"") -> None:
        if not self._parted and not self.transport.is_closing():
            self._write(CLOSE, code.to_bytes(2, "big") + reason[:120])
            self._parted = True

    def _write(self, opcode: int, data: bytes) -> None:
        if not self._parted:
            self.transport.write(frame_header(opcode, len(data)) + data)

    def _end(self, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)
