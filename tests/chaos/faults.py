"""The faults, each a function with the name that the table shows.

A fault does its harm and returns what it did, or ``""`` where it found nothing to harm. One that sends a request of its
own raises AssertionError if that request ends otherwise than it must.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import psutil

from tests.chaos.target import DEBUGGING, SILENCE, Target, feed, transport_of
from webinfer.errors import DeadlineExceeded, LostError, OutOfMemory, WebinferError
from webinfer.wire import encode
from webinfer.wire.messages import PROTOCOL

Fault = Callable[[Target], Awaitable[str]]

PATIENCE = 60.0  # seconds for a fault's own request, which may have to wait for a new browser


async def kill_browser(target: Target) -> str:
    browser = target.browser()
    return _signal([psutil.Process(browser.pid)] if browser else [], signal.SIGKILL)


async def kill_renderer(target: Target) -> str:
    return _signal(target.renderers()[:1], signal.SIGKILL)


async def kill_gpu_process(target: Target) -> str:
    return _signal(target.processes("--type=gpu-process"), signal.SIGKILL)


async def stop_browser(target: Target) -> str:
    """Freeze all of it for good: only its silence tells."""
    return _signal(target.processes(), signal.SIGSTOP)


async def stop_renderer(target: Target) -> str:
    return _signal(target.renderers()[:1], signal.SIGSTOP)


async def pause_browser(target: Target) -> str:
    """Freeze all of it for less than the silence that counts as a loss: nothing may come of it."""
    frozen = target.processes()
    done = _signal(frozen, signal.SIGSTOP)
    await asyncio.sleep(SILENCE / 3)
    _signal(frozen, signal.SIGCONT)
    return done


async def thaw_browser(target: Target) -> str:
    """Freeze all of it until its host has given it up, then let it say what it still has to say."""
    frozen = target.processes()
    done = _signal(frozen, signal.SIGSTOP)
    await asyncio.sleep(SILENCE * 1.5)
    _signal(frozen, signal.SIGCONT)
    return done


async def stall_host(target: Target) -> str:
    """Block the event loop for longer than a page waits for its host."""
    time.sleep(SILENCE * 1.5)  # noqa: ASYNC251  # to block is the point
    return f"{SILENCE * 1.5:g} s"


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
    return lane.id


async def end_worker(target: Target) -> str:
    """Have the page end a lane's worker behind its host's back."""
    browser, lane = target.browser(), target.lane()
    if browser is None or lane is None or browser._page.lost.done():
        return ""
    browser._page.post("stop_lane", {"lane": lane.id}, lambda _: None)
    return lane.id


async def exhaust_memory(target: Target) -> str:
    """Run a model that needs more memory than a lane can have."""
    return await _fails(target.glutton.run({"x": [1.0]}, timeout=PATIENCE), OutOfMemory)


async def hang_lane(target: Target) -> str:
    """Run a model that never ends, with a deadline."""
    return await _fails(target.endless.run({"x": [1e6]}, timeout=1.0), DeadlineExceeded)


async def leave_hanging(target: Target) -> str:
    """Run a model that never ends and walk away from it: its deadline still has to free the lane."""
    running = asyncio.create_task(target.endless.run({"x": [1e6]}, timeout=1.5))
    await asyncio.sleep(0.3)
    running.cancel()
    await asyncio.wait([running])
    return "cancelled" if running.cancelled() else ""


async def send_garbage(target: Target) -> str:
    """Have a lane's socket bring what is no frame."""
    lane = target.lane()
    if lane is None:
        return ""
    feed(lane._connection, target.random.bytes(int(target.random.integers(1, 200))))
    return lane.id


async def answer_twice(target: Target) -> str:
    """Have a lane answer again what it answered long ago, and what nobody asked."""
    lane = target.lane()
    if lane is None:
        return ""
    for number in (1, 1, 10**9):
        feed(lane._connection, encode({"kind": "ok", "id": number}))
        feed(lane._connection, encode({"kind": "error", "id": number, "error": {"code": "backend.run"}}))
    return lane.id


async def intrude(target: Target) -> str:
    """Dial in as a lane that was invited, say hello, and send garbage."""
    ticket = target.host.invite("lane")
    hello = {"kind": "hello", "protocol": PROTOCOL, "role": "lane", "lane": "intruder", "runtime": {}}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{target.host.origin}/ws?token={ticket.token}") as socket,
    ):
        await socket.send_bytes(encode(hello))
        await ticket.connected
        await socket.send_bytes(target.random.bytes(64))
        answer = await socket.receive(timeout=PATIENCE)
    assert answer.type is aiohttp.WSMsgType.CLOSE, answer
    return "turned out"


async def reload_page(target: Target) -> str:
    return await _debug(target, "Page.reload")


async def crash_page(target: Target) -> str:
    return await _debug(target, "Page.crash")


EVERYWHERE: tuple[Fault, ...] = (
    kill_browser,
    kill_renderer,
    stop_browser,
    stop_renderer,
    pause_browser,
    thaw_browser,
    stall_host,
    abort_lane_socket,
    abort_page_socket,
    close_lane_socket,
    end_worker,
    exhaust_memory,
    hang_lane,
    leave_hanging,
    send_garbage,
    answer_twice,
    intrude,
)
CHROMIUM: tuple[Fault, ...] = (kill_gpu_process, reload_page, crash_page)


def faults_for(engine: str) -> tuple[Fault, ...]:
    """Return the faults that can be provoked in a browser of that engine."""
    return (*EVERYWHERE, *CHROMIUM) if engine == "chromium" else EVERYWHERE


def _signal(found: list[psutil.Process], number: signal.Signals) -> str:
    hit = []
    for process in found:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            continue
        hit.append(str(process.pid))
    return " ".join(hit)


def _abort(connection: Any) -> str:
    transport = transport_of(connection)
    if transport is None:
        return ""
    transport.abort()
    return str(connection.role)


async def _fails(running: Awaitable[Any], expected: type[WebinferError]) -> str:
    """Wait for a request that must fail: as expected, or because what it ran on was lost three times."""
    try:
        result = await asyncio.wait_for(running, PATIENCE * 2)
    except (expected, LostError) as error:
        return error.code
    raise AssertionError(f"{expected.__name__} was expected, not {result}")


async def _debug(target: Target, method: str) -> str:
    if DEBUGGING not in target.accelerator.options.browser_args:
        return ""
    try:
        await target.debug(method)
    except (OSError, aiohttp.ClientError, IndexError):
        return ""  # the browser is just going or coming
    return method
