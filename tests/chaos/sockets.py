"""Faults of the sockets: what a network, a slow reader or a broken worker does to frames."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import aiohttp
import numpy as np

from tests.chaos.target import SILENCE, Target, feed, transport_of
from tests.frames import LANE_HELLO, TIMING, frame
from webinfer.transport.connection import Connection

PATIENCE = 60.0  # seconds for an answer
BULK = 1_000_000  # floats: 4 MB, more than the buffers under a socket hold


async def abort_lane_socket(target: Target) -> str:
    lane = target.lane()
    return _abort(lane._connection) if lane else ""


async def abort_page_socket(target: Target) -> str:
    browser = target.browser()
    return _abort(browser._page) if browser else ""


async def close_lane_socket(target: Target) -> str:
    lane = target.lane()
    if lane is None:
        return ""
    await lane._connection._socket.close()
    return str(lane.id)


async def close_in_mid_request(target: Target) -> str:
    """Close a lane's socket when half of a frame to it has been sent."""
    lane = target.lane()
    transport = transport_of(lane._connection) if lane else None
    if lane is None or transport is None:
        return ""
    transport.write(b"\x82\x7e" + struct.pack(">H", 4096) + bytes(100))  # binary, of 4,096 bytes
    transport.close()
    return str(lane.id)


async def close_in_mid_answer(target: Target) -> str:
    """Close a lane's socket when half of a frame from it has come."""
    lane = target.lane()
    transport = transport_of(lane._connection) if lane else None
    if lane is None or transport is None:
        return ""
    half = b"\x82\xfe" + struct.pack(">H", 4096) + bytes(4) + bytes(100)
    socket = lane._connection._socket
    socket.get_buffer(-1)[: len(half)] = half
    socket.buffer_updated(len(half))
    transport.abort()
    return str(lane.id)


async def delay_answers(target: Target) -> str:
    """Take nothing from a lane's socket for a while: nothing may come of it."""
    lane = target.lane()
    if lane is None:
        return ""
    async with _deaf(lane._connection):
        await asyncio.sleep(SILENCE)
    return str(lane.id)


async def read_slowly(target: Target) -> str:
    """Take a lane's megabytes in drops: nothing may come of it."""
    asked = asyncio.create_task(_bulk(target))
    for _ in range(20):
        async with contextlib.AsyncExitStack() as deaf:
            for lane in tuple(target.pool.lanes.values()):
                await deaf.enter_async_context(_deaf(lane._connection))
            await asyncio.sleep(SILENCE / 20)
        await asyncio.sleep(0)
    return await asked


async def feed_a_sleeper(target: Target) -> str:
    """Send megabytes to a page that is frozen for less than the silence that counts as a loss."""
    frozen = target.renderers()[:1]
    for process in frozen:
        process.suspend()
    asked = asyncio.create_task(_bulk(target))
    await asyncio.sleep(SILENCE / 3)
    for process in frozen:
        with contextlib.suppress(Exception):  # it was given up meanwhile
            process.resume()
    return await asked


async def send_garbage(target: Target) -> str:
    """Have a lane's socket bring what is no frame."""
    lane = target.lane()
    if lane is None:
        return ""
    feed(lane._connection, target.random.bytes(int(target.random.integers(1, 200))))
    return str(lane.id)


async def answer_twice(target: Target) -> str:
    """Have a lane answer again what it answered long ago, and what nobody asked."""
    lane = target.lane()
    if lane is None:
        return ""
    for number in (1, 1, 10**9):
        feed(lane._connection, frame({"kind": "ok", "id": number}))
        feed(
            lane._connection, frame({"kind": "error", "id": number, "error": {"code": "backend.run", "message": "no"}})
        )
    return str(lane.id)


async def double_answers(target: Target) -> str:
    """Have every frame from a lane come twice."""
    lane = target.lane()
    if lane is None:
        return ""
    socket: Any = lane._connection._socket
    take = socket.on_message
    socket.on_message = lambda frame: (take(frame), take(frame))
    return str(lane.id)


async def double_requests(target: Target) -> str:
    """Have every frame to a lane go out twice: it computes everything twice, and nobody may notice."""
    lane = target.lane()
    if lane is None:
        return ""
    socket: Any = lane._connection._socket
    send = socket.send
    socket.send = lambda parts: (send(parts), send(parts))
    return str(lane.id)


async def answer_wrongly(target: Target) -> str:
    """Have a lane answer what it was asked with a tensor that its model does not have."""
    lane = target.lane()
    if lane is None or not lane._connection._conversation.pending:
        return ""
    number = max(lane._connection._conversation.pending)
    feed(lane._connection, frame({"kind": "ok", "id": number, "timing": TIMING}, {"nothing": np.zeros(3, np.int8)}))
    await asyncio.wait([lane.lost], timeout=SILENCE)
    return str(lane.id) if lane.lost.done() else ""  # the right answer had come before


async def intrude(target: Target) -> str:
    """Dial in as a lane that was invited, say hello, and send garbage."""
    ticket = target.host.invite("lane")
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{target.host.origin}/ws?token={ticket.token}") as socket,
    ):
        await socket.send_bytes(frame({**LANE_HELLO, "lane": "intruder"}))
        await ticket.connected
        await socket.send_bytes(target.random.bytes(64))
        answer = await socket.receive(timeout=PATIENCE)
    assert answer.type is aiohttp.WSMsgType.CLOSE, answer
    return "turned out"


async def _bulk(target: Target) -> str:
    """Send megabytes and get as many back, or fail."""
    x = target.random.random(BULK, np.float32)
    asked: Awaitable[Any] = target.bulk.run({"x": x}, timeout=PATIENCE)
    result = await asked
    assert np.array_equal(result.outputs["y"], -x)
    return f"{x.nbytes / 1e6:g} MB"


@contextlib.asynccontextmanager
async def _deaf(connection: Connection) -> AsyncIterator[None]:
    transport = transport_of(connection)
    if transport is not None:
        transport.pause_reading()
    yield
    if transport is not None and not transport.is_closing():
        transport.resume_reading()


def _abort(connection: Connection) -> str:
    transport = transport_of(connection)
    if transport is None:
        return ""
    transport.abort()
    return connection.role
