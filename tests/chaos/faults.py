"""The faults, each a function with the name that the table shows.

A fault does its harm and returns what it did, or ``""`` where it found nothing to harm. One that sends a request of its
own raises AssertionError if that request ends otherwise than it must.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psutil

from tests.chaos import sockets
from tests.chaos.debugger import GONE, chrome, firefox
from tests.chaos.target import HEARTBEAT, SILENCE, Target
from webinfer.core.errors import DeadlineExceeded, LostError, OutOfMemory, WebinferError
from webinfer.pool.events import BrowserRefused, HostStalled
from webinfer.transport.wire.commands import StopLaneCommand

Fault = Callable[[Target], Awaitable[str]]

PATIENCE = 60.0  # seconds for a fault's own request, which may have to wait for a new browser
GPU_DEADLINE = 20.0  # seconds that any on WebGPU is allowed: nothing but its deadline tells of a GPU that hangs
THROW = "setTimeout(() => { throw new Error('chaos'); })"
DESTROY = """
if (globalThis.GPUDevice) {
  const make = GPUDevice.prototype.createCommandEncoder;
  GPUDevice.prototype.createCommandEncoder = function (...given) {
    GPUDevice.prototype.createCommandEncoder = make;
    const made = make.apply(this, given);
    this.destroy();
    return made;
  };
}
"""


async def kill_browser(target: Target) -> str:
    """Kill its main process. A page of WebKit may answer for a moment longer."""
    browser = target.browser()
    if browser is None:
        return ""
    return await _once(_signal([psutil.Process(browser.pid)], signal.SIGKILL), browser._page.lost)


async def kill_renderer(target: Target) -> str:
    browser, done = target.browser(), _signal(target.renderers()[:1], signal.SIGKILL)
    return await _once(done, browser._page.lost) if browser and done else done


async def kill_gpu_process(target: Target) -> str:
    return _signal(target.processes("--type=gpu-process"), signal.SIGKILL)


async def stop_gpu_process(target: Target) -> str:
    """Freeze the GPU process for good: what waits for it ends by its deadline only, and takes the browser with it."""
    browser = target.browser()
    done = _signal(target.processes("--type=gpu-process"), signal.SIGSTOP)
    if browser is None or target.on_gpu is None:
        return ""
    async with asyncio.timeout(PATIENCE * 2):
        while browser.id in target.pool.browsers:
            with contextlib.suppress(DeadlineExceeded, LostError):
                await target.run_on_gpu(timeout=2.0)
    return done


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
    """Block the event loop for longer than a silent page would be waited for: no browser may be lost by it."""
    before = set(target.pool.browsers)
    told = target.events[HostStalled.__name__]
    time.sleep(SILENCE * 1.5)  # noqa: ASYNC251  # to block is the point
    await asyncio.sleep(SILENCE * 1.5)
    assert before <= set(target.pool.browsers), "a browser was lost by a stall of its host"
    assert not before or target.events[HostStalled.__name__] > told, "the stall was not told"
    return f"{SILENCE * 1.5:g} s"


async def end_worker(target: Target) -> str:
    """Have the page end a lane's worker behind its host's back."""
    browser, lane = target.browser(), target.lane()
    if browser is None or lane is None or browser._page.lost.done():
        return ""
    browser._page.post(StopLaneCommand(lane=str(lane.id)), lambda _: None)
    return await _once(str(lane.id), lane.lost)


async def exhaust_memory(target: Target) -> str:
    """Run a model that needs more memory than a lane can have."""
    return await _fails(target.glutton.run({"x": [1.0]}, timeout=PATIENCE), OutOfMemory)


async def hang_lane(target: Target) -> str:
    """Run a model that never ends, with a deadline."""
    return await _fails(target.endless.run({"x": [1e6]}, timeout=1.0), DeadlineExceeded)


async def leave_hanging(target: Target) -> str:
    """Run a model that never ends and walk away from it: its deadline still has to free the lane."""
    running = asyncio.create_task(target.endless.run({"x": [1e6]}, timeout=1.5))
    model = target.endless.package.sha256
    while not running.done() and not _computes(target, model):  # noqa: ASYNC110  # it waits for a lane, and to be loaded
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    return "cancelled" if running.cancelled() or running.exception() is None else ""


async def destroy_device(target: Target) -> str:
    """Have the lanes destroy their GPU device in the middle of what it next computes."""
    browser = target.browser()
    if browser is None or target.on_gpu is None:
        return ""
    try:
        async with chrome(browser) as debugger:
            armed = await debugger.run_in_workers(DESTROY)
    except GONE:
        return ""
    await target.run_on_gpu(PATIENCE)
    return f"{armed} workers"


async def throw_in_worker(target: Target) -> str:
    """Have the lanes throw what nothing catches."""
    browser = target.browser()
    if browser is None:
        return ""
    try:
        async with chrome(browser) as debugger:
            done = f"{await debugger.run_in_workers(THROW) or ''}"
    except GONE:
        return ""
    return (
        await _once(done, *(lane.lost for lane in target.pool.lanes.values() if lane.id.browser == browser.id))
        if done
        else ""
    )


async def fill_disk(target: Target) -> str:
    """Have the browser's successor find no room for its profile, until its launch has failed."""
    roomy, tempfile.tempdir = tempfile.tempdir, str(target.full_disk)
    refused = target.events[BrowserRefused.__name__]
    try:
        done = await kill_browser(target)
        async with asyncio.timeout(SILENCE * 2):
            while done and target.events[BrowserRefused.__name__] == refused:  # noqa: ASYNC110  # a listener counts
                await asyncio.sleep(0)
    except TimeoutError:
        done = ""  # another browser had been on its way
    finally:
        tempfile.tempdir = roomy
    return done


async def reload_page(target: Target) -> str:
    browser = target.browser()
    if browser is None:
        return ""
    try:
        async with chrome(browser) if target.engine == "chromium" else firefox(browser) as debugger:
            await debugger.reload()
    except GONE:
        return ""
    return await _once("reloaded", browser._page.lost)


async def crash_page(target: Target) -> str:
    browser = target.browser()
    if browser is None:
        return ""
    try:
        async with chrome(browser) as debugger:
            await debugger.crash()
    except GONE:
        return ""
    return await _once("crashed", browser._page.lost)


EVERYWHERE: tuple[Fault, ...] = (
    kill_browser,
    kill_renderer,
    stop_browser,
    stop_renderer,
    pause_browser,
    thaw_browser,
    stall_host,
    end_worker,
    exhaust_memory,
    hang_lane,
    leave_hanging,
    reload_page,
    sockets.abort_lane_socket,
    sockets.abort_page_socket,
    sockets.close_lane_socket,
    sockets.close_in_mid_request,
    sockets.close_in_mid_answer,
    sockets.delay_answers,
    sockets.read_slowly,
    sockets.feed_a_sleeper,
    sockets.send_garbage,
    sockets.answer_twice,
    sockets.double_answers,
    sockets.double_requests,
    sockets.answer_wrongly,
    sockets.intrude,
)
CHROMIUM: tuple[Fault, ...] = (kill_gpu_process, stop_gpu_process, destroy_device, throw_in_worker, crash_page)

# What a request outlives on the lane that it is on; all others must cost a lane, or they did no harm at all.
HARMLESS = {
    "pause_browser",
    "stall_host",
    "exhaust_memory",
    "delay_answers",
    "read_slowly",
    "feed_a_sleeper",
    "answer_twice",
    "double_answers",
    "double_requests",
    "intrude",
}


SLACK = 20.0
"""Seconds that the news of a loss may take on a busy machine, the fault's own doing included."""

DELAYS = {
    "stop_browser": SILENCE + HEARTBEAT,
    "stop_renderer": SILENCE + HEARTBEAT,
    "thaw_browser": SILENCE + HEARTBEAT,
    "stall_host": SILENCE * 1.5 + HEARTBEAT,
    "hang_lane": 1.0,
    "leave_hanging": 1.5,
    "stop_gpu_process": GPU_DEADLINE,
    "destroy_device": 10.0,
}
"""Seconds that pass before anything can tell of a fault: missed heartbeats, a run's deadline, the next use of a GPU.
What is not named is told of at once, by a socket or a process that ends or by an answer that cannot be."""


def bound(name: str) -> float:
    """Return the seconds within which a fault must have been noticed."""
    return DELAYS.get(name, 0.0) + SLACK


def faults_for(target: Target) -> tuple[Fault, ...]:
    """Return the faults that can be provoked in a target's browser, and on this machine."""
    disk = (fill_disk,) if target.full_disk else ()
    if target.engine == "webkit":  # it has no debugger that could be asked to reload
        return (*(fault for fault in EVERYWHERE if fault is not reload_page), *disk)
    return (*EVERYWHERE, *disk, *CHROMIUM) if target.engine == "chromium" else (*EVERYWHERE, *disk)


async def _once(done: str, *lost: asyncio.Future[WebinferError]) -> str:
    """Wait until what was done to a browser has come to pass, and return it: its page takes its time."""
    if lost and not any(each.done() for each in lost):
        await asyncio.wait(lost, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    return done


def _computes(target: Target, model: str) -> bool:
    """Whether a lane computes a request of that model."""
    return any(sent and sent[0].key.model == model for sent in target.pool.in_flight.values())


def _signal(found: list[psutil.Process], number: signal.Signals) -> str:
    hit = []
    for process in found:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            continue
        hit.append(str(process.pid))
    return " ".join(hit)


async def _fails(running: Awaitable[Any], expected: type[WebinferError]) -> str:
    """Wait for a request that must fail: as expected, or because what it ran on was lost three times."""
    try:
        result = await asyncio.wait_for(running, PATIENCE * 2)
    except (expected, LostError) as error:
        queued = isinstance(error, DeadlineExceeded) and error.data.get("stage") == "queued"
        return "" if queued else error.code  # it found no lane in time
    raise AssertionError(f"{expected.__name__} was expected, not {result}")
