"""The HTTP and WebSocket server that every page and lane dials: it serves files and accepts sockets.

It listens on the loopback interface unless told otherwise, and answers only requests whose ``Host`` and ``Origin`` are
its own. Model files need the access key that lanes are given. A socket needs a token that was issued for it and not
used yet.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import ipaddress
import logging
import math
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from webinfer.core.errors import Forbidden, HostError, PortInUse, ProtocolError
from webinfer.transport.connection import Connection, OnStall
from webinfer.transport.websocket import WebSocket
from webinfer.transport.wire.conversation import MISSED

log = logging.getLogger("webinfer.host")

WEB = Path(__file__).parents[1] / "_web"
_MEGABYTE = 1_000_000
_GREETING = 15.0  # seconds from a socket's opening to its hello

_ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_FOREVER = "public, max-age=31536000, immutable"

Report = Callable[[], Awaitable[dict[str, Any]]]
Exposition = Callable[[str], Awaitable[tuple[bytes, str]]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Ticket:
    """Leave for one socket to connect.

    Attributes:
        token: What the socket must present.
        connected: The connection, once its hello has come.
    """

    def __init__(self, role: str) -> None:
        self.role = role
        self.token = secrets.token_urlsafe(24)
        self.connected: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<Ticket {self.role} connected={self.connected.done()}>"


class Host:
    """The server.

    Args:
        address: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        max_message_mb: Longest WebSocket message to accept or send, in 10^6 bytes.
        heartbeat: Seconds between pings of a page.
        metrics_token: Lets Prometheus read the metrics, as the status token does too.

    Attributes:
        access: Lets lanes read model files.
        status_token: Lets other processes read the status.
        report: Makes the status; set by the host's owner.
        on_stall: Called with the seconds for which the event loop was blocked, where a heartbeat and more fell out.
        exposition: Makes the metrics for an ``Accept`` header: the text and its content type; set by the host's owner.
    """

    def __init__(
        self,
        address: str = "127.0.0.1",
        port: int = 0,
        max_message_mb: float = 2000.0,
        heartbeat: float = 5.0,
        metrics_token: str | None = None,
    ) -> None:
        self.address = address
        self.port = port
        self.max_bytes = int(max_message_mb * _MEGABYTE)
        self.heartbeat = heartbeat
        self.access = secrets.token_urlsafe(24)
        self.status_token = secrets.token_urlsafe(24)
        self.report: Report | None = None
        self.on_stall: OnStall | None = None
        self._last_stall = -math.inf
        self.exposition: Exposition | None = None
        self._metrics_token = metrics_token
        self.connections: set[Connection] = set()
        self._tickets: dict[str, Ticket] = {}
        self._files: dict[str, Path] = {}
        self._runner: web.AppRunner | None = None

    def __repr__(self) -> str:
        state = self.origin if self._runner else "stopped"
        return f"<Host {state} sockets={len(self.connections)} files={len(self._files)}>"

    @property
    def origin(self) -> str:
        """Scheme, address and port, as a browser sees them."""
        return f"http://{self.address}:{self.port}"

    async def start(self) -> None:
        """Start listening.

        Raises:
            PortInUse: Somebody else listens on the port.
            HostError: The page was not built, or the address cannot be listened on.
        """
        if not (WEB / "index.html").is_file():
            raise HostError("The browser page is missing from this installation: build it with `make web`.")
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._page)
        app.router.add_get("/ws", self._socket)
        app.router.add_get("/status", self._status)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/models/{sha256}", self._model)
        app.router.add_static("/assets", WEB / "assets")
        app.router.add_static("/runtime", WEB / "runtime")
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.address, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            self._runner = None
            raise self._cannot_listen(error) from error
        self.port = self._runner.addresses[0][1]
        log.info("host listens on %s", self.origin)

    async def close(self) -> None:
        """Close every socket and stop listening."""
        for ticket in self._tickets.values():
            ticket.connected.cancel()
        self._tickets.clear()
        await asyncio.gather(*(connection.close() for connection in tuple(self.connections)))
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            log.info("host on %s is closed", self.origin)

    @property
    def patience(self) -> float | None:
        """Seconds of our silence after which a page may take us for gone; ``None`` for as long as its socket is open.

        On this machine a socket closes when its process ends, however that ends. So behind an open one that is silent
        is a process that is blocked or stopped. Between machines it may as well be the network.
        """
        return None if self.local else MISSED * self.heartbeat

    @property
    def local(self) -> bool:
        """Whether pages can only be on this machine."""
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return self.address == "localhost"

    def invite(self, role: str) -> Ticket:
        """Issue a token for one socket of ``role``, ``"page"`` or ``"lane"``.

        Args:
            role: Who may use it.

        Returns:
            The ticket, with the token in it.
        """
        ticket = Ticket(role)
        self._tickets[ticket.token] = ticket
        ticket.connected.add_done_callback(lambda _: self._tickets.pop(ticket.token, None))
        return ticket

    def publish(self, path: Path, sha256: str) -> str:
        """Serve a file under its hash.

        Args:
            path: The file.
            sha256: Its hash.

        Returns:
            Its URL path. The contents of a hash never change, so browsers may keep them for ever.
        """
        self._files[sha256] = path
        return f"/models/{sha256}"

    def _stalled(self, seconds: float) -> None:
        """Report a stall once, although the heartbeat of every page notices it."""
        now = time.monotonic()
        if now - self._last_stall < seconds:
            return
        self._last_stall = now
        extra = {"event": "host_stalled", "seconds": seconds}
        log.warning("the event loop was blocked for %.1f s: do what takes long in a thread", seconds, extra=extra)
        if self.on_stall is not None:
            self.on_stall(seconds)

    def _cannot_listen(self, error: OSError) -> HostError:
        if error.errno == errno.EADDRINUSE:
            return PortInUse(
                f"Port {self.port} on {self.address} is in use by another program: choose another, or 0 for any.",
                port=self.port,
            )
        return HostError(f"Cannot listen on {self.address}:{self.port}: {error.strerror}.", port=self.port)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Return the answer to a request from our own page, isolated; refuse all others."""
        # The name in Host stops DNS rebinding: another site's name may resolve to this address.
        if request.headers.get("Host") not in (f"{self.address}:{self.port}", f"localhost:{self.port}"):
            return _refuse("The Host header names another site.")
        origin = request.headers.get("Origin")
        if origin is not None and origin not in (self.origin, f"http://localhost:{self.port}"):
            return _refuse(f"Origin {origin} may not talk to this host.")
        response = await handler(request)
        if not response.prepared:
            response.headers.update(_ISOLATION)
            response.headers.setdefault("Cache-Control", "no-cache")  # a profile may outlive this version's page
        return response

    async def _page(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(WEB / "index.html", headers={"Cache-Control": "no-store"})

    async def _model(self, request: web.Request) -> web.StreamResponse:
        if not _bears(request, self.access):
            return _refuse("Model files need this host's access key.")
        path = self._files.get(request.match_info["sha256"])
        if path is None:
            return web.json_response({"code": "model.not_found", "message": "No such model file here."}, status=404)
        if "start" in request.query:
            return await _send_part(request, path)
        return web.FileResponse(
            path, chunk_size=1 << 20, headers={"Cache-Control": _FOREVER, "Content-Type": "application/octet-stream"}
        )

    async def _status(self, request: web.Request) -> web.StreamResponse:
        if not _bears(request, self.status_token):
            return _refuse("The status needs this host's status token.")
        if self.report is None:
            return web.json_response({"code": HostError.code, "message": "No status is told here."}, status=404)
        return web.json_response(await self.report(), headers={"Cache-Control": "no-store"})

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        if not (_bears(request, self.status_token) or (self._metrics_token and _bears(request, self._metrics_token))):
            return _refuse("The metrics need the metrics_token, or this host's status token.")
        if self.exposition is None:
            return web.json_response({"code": HostError.code, "message": "No metrics are told here."}, status=404)
        text, kind = await self.exposition(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Cache-Control": "no-store", "Content-Type": kind})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        # Taken out before anything is awaited: of two sockets with one token, one gets in.
        ticket = self._tickets.pop(request.query.get("token", ""), None)
        if ticket is None or ticket.connected.done():
            return _refuse("The token is unknown or was used already.")
        socket, response = await WebSocket.accept(request, self.max_bytes)
        heartbeat = self.heartbeat if ticket.role == "page" else None
        connection = Connection(socket, ticket.role, self.max_bytes, heartbeat, self._stalled)
        self.connections.add(connection)
        try:
            async with asyncio.timeout(_GREETING):
                await connection.greet()
            if not ticket.connected.done():  # whoever invited it may have given up
                ticket.connected.set_result(connection)
            await connection.over()
        except (ProtocolError, TimeoutError) as error:
            log.warning("%s broke off before its hello: %s", ticket.role, error)
            if not ticket.connected.done():
                ticket.connected.set_exception(
                    error if isinstance(error, ProtocolError) else Forbidden("No hello came.")
                )
        finally:
            self.connections.discard(connection)
            await connection.close()
        return response


async def _send_part(request: web.Request, path: Path) -> web.StreamResponse:
    """Return ``nbytes`` of a file, from ``start``, as if they were a file."""
    with path.open("rb") as file:
        try:
            start, nbytes = int(request.query["start"]), int(request.query["nbytes"])
            inside = 0 <= start <= start + nbytes <= os.fstat(file.fileno()).st_size
        except (KeyError, ValueError):
            inside = False
        if not inside or request.transport is None:
            return web.json_response({"code": "model.not_found", "message": "No such part of the file."}, status=416)
        response = web.StreamResponse(headers={**_ISOLATION, "Content-Type": "application/octet-stream"})
        response.content_length = nbytes
        await response.prepare(request)
        await asyncio.get_running_loop().sendfile(request.transport, file, start, nbytes)
        await response.write_eof()
        return response


def _bears(request: web.Request, token: str) -> bool:
    """Return whether the token is right, in a time that does not depend on how much of it is."""
    given = request.headers.get("Authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


def _refuse(reason: str) -> web.Response:
    log.warning("refused: %s", reason)
    return web.json_response({"code": Forbidden.code, "message": reason}, status=403, headers=_ISOLATION)
