"""Starting a browser at a URL, and ending it so that nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webinfer.browsers.discovery.find import Engine, Installation
from webinfer.browsers.engines.chromium import plan_chromium
from webinfer.browsers.engines.firefox import plan_firefox
from webinfer.browsers.engines.launch_plan import LaunchPlan, Machine, Planner, profile_of
from webinfer.browsers.engines.webkit import plan_webkit
from webinfer.browsers.processes.profiles import KeptProfile, claimed
from webinfer.core.errors import LaunchFailed

log = logging.getLogger("webinfer.browsers.processes.launch")

PLANNERS: Mapping[Engine, Planner] = {"chromium": plan_chromium, "firefox": plan_firefox, "webkit": plan_webkit}

_GUARD = Path(__file__).with_name("guard.py")
_PATIENCE = 10.0  # Seconds that a guard may take to end its browser; it needs one or two.
_LONGEST = 50  # Characters of a temporary directory's path in which a browser can still make its Unix sockets.
_WORDS = 4096  # Characters of a browser's last words that are kept.
_CHATTER = "ERROR:dbus/"  # Chromium's complaint about a missing message bus, dozens of times: it never matters.
_LINE = 1 << 17  # Longer than any line of the guard's.


@dataclass(frozen=True, slots=True)
class Exit:
    """How a browser ended.

    Attributes:
        code: Its exit code, or ``None`` when a signal ended it.
        signal: The signal that ended it, or ``None``.
        stderr: The last of what it wrote to standard error, at most 4,096 characters.
    """

    code: int | None
    signal: int | None
    stderr: str

    def __str__(self) -> str:
        if self.signal is not None:
            manner = f"ended by {_name(self.signal)}"
        else:
            manner = "ended in an unknown way" if self.code is None else f"exit code {self.code}"
        return (
            f"{manner}; its last words: {self.stderr.strip()}" if self.stderr.strip() else f"{manner}, without a word"
        )


class BrowserProcess:
    """A running browser and the guard that ends it, whatever becomes of us.

    Attributes:
        installation: What was started.
        pid: The browser's main process.
        home: The directory that holds everything the browser writes, deleted with it.
        profile: Its profile, in ``home``.
        exited: Done once the browser has ended.
    """

    def __init__(self, installation: Installation, pid: int, home: Path, guard: asyncio.subprocess.Process) -> None:
        self.installation = installation
        self.pid = pid
        self.home = home
        self.profile = profile_of(home)
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._guard = guard
        self._ending = asyncio.create_task(self._follow(), name=f"webinfer browser {pid}")

    def __repr__(self) -> str:
        state = str(self.exited.result()).partition(";")[0] if self.exited.done() else "running"
        return f"<BrowserProcess {self.installation.name} pid={self.pid} {state}>"

    async def close(self) -> None:
        """End the browser and delete its directory. May be called again, and returns when nothing is left."""
        _hang_up(self._guard)
        try:
            await asyncio.wait_for(asyncio.shield(self._ending), _PATIENCE)
        except TimeoutError:
            log.warning("the guard of browser process %d did not end it within %g s", self.pid, _PATIENCE)
            self._guard.kill()  # The kernel then kills the browser.
            await self._ending

    async def _follow(self) -> None:
        """Wait for the browser's end, then for its guard's."""
        answer = await _read_report(self._guard)
        if not answer:
            _kill_group(self.pid)
        self.exited.set_result(_exit_of(answer))
        log.info("%s", self)
        await _wait(self._guard, self.home)


async def launch(
    installation: Installation,
    url: str,
    *,
    headless: bool = True,
    args: Sequence[str] = (),
    profiles: Path | None = None,
) -> BrowserProcess:
    """Start a browser at a URL, with a profile of its own that is thrown away, or one that is kept.

    It ends when it is closed and when this process ends, however that ends, and leaves neither a process nor a file.

    Args:
        installation: The browser.
        url: The page to open.
        headless: Whether to do without a window.
        args: Further command-line arguments for the browser.
        profiles: Where a profile is kept for the next one; while another browser has it, a throw-away one is used.

    Returns:
        The process, which is running; whether its page dials back is not known yet.

    Raises:
        LaunchFailed: It cannot be executed, or its engine cannot be started by webinfer.
    """
    try:
        home = _make_home()
    except OSError as error:
        raise _no_room(installation, error) from error
    try:
        with claimed(profiles, installation.name) as profile:
            plan = _plan(installation, url, home, headless, tuple(args), profile)
            guard = await _started(_start_guard(plan, home, profile), home)
    except OSError as error:
        shutil.rmtree(home, ignore_errors=True)
        raise _no_room(installation, error) from error
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    # From here on the guard deletes the directory, and _wait() deletes what a killed guard leaves.
    try:
        answer = await _read_report(guard)
    except BaseException:
        _hang_up(guard)
        await asyncio.shield(_wait(guard, home))
        raise
    if "pid" not in answer:
        _hang_up(guard)
        await _wait(guard, home)
        raise _launch_failed(installation, answer)
    process = BrowserProcess(installation, answer["pid"], home, guard)
    log.info("%s", process)
    return process


async def _started(starting: Coroutine[Any, Any, asyncio.subprocess.Process], home: Path) -> asyncio.subprocess.Process:
    """Return the guard's process, once it has started.

    Raises:
        CancelledError: The caller gave up. What was started has ended.
    """
    # Shielded: a cancelled start could leave a process that nobody knows of.
    task = asyncio.ensure_future(starting)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        guard = await task  # a moment only
        _hang_up(guard)
        await _wait(guard, home)
        raise


def _make_home() -> Path:
    """Return a new directory for everything a browser writes, with a path that is short enough for sockets."""
    place = tempfile.gettempdir()
    if len(place) > _LONGEST and sys.platform != "win32":
        place = "/tmp"
    return Path(tempfile.mkdtemp(prefix="webinfer-", dir=place)).resolve()


def _plan(
    installation: Installation, url: str, home: Path, headless: bool, args: tuple[str, ...], profile: KeptProfile | None
) -> LaunchPlan:
    planner = PLANNERS[installation.engine]
    plan = planner(installation, url, home, headless=headless, args=args, machine=Machine.here(), inherited=os.environ)
    if profile is None:
        profile_of(home).mkdir()
    else:
        profile_of(home).symlink_to(profile.path, target_is_directory=True)  # all that goes with ``home`` is the link
    for path, contents in plan.files.items():
        path.write_text(contents, encoding="utf-8")
    return plan


async def _start_guard(plan: LaunchPlan, home: Path, profile: KeptProfile | None) -> asyncio.subprocess.Process:
    with (home / "stderr.log").open("wb") as stderr:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", str(_GUARD), str(os.getpid()), str(home)),
            *(str(len(plan.server)), *plan.server),
            *plan.argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=dict(plan.env),
            limit=_LINE,
            pass_fds=() if profile is None else (profile.lock,),  # held until the last process of the browser ends
            start_new_session=True,  # On Windows it does nothing, and the flag does the like.
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )


async def _read_report(guard: asyncio.subprocess.Process) -> dict[str, Any]:
    """Return the guard's next report, which is empty when the guard is gone."""
    assert guard.stdout is not None
    line = await guard.stdout.readline()
    return dict(json.loads(line)) if line.endswith(b"\n") else {}


def _hang_up(guard: asyncio.subprocess.Process) -> None:
    """Close the guard's input, which makes it end the browser."""
    assert guard.stdin is not None
    guard.stdin.close()


async def _wait(guard: asyncio.subprocess.Process, home: Path) -> None:
    """Wait for the guard's end, and delete what it could not."""
    _hang_up(guard)
    assert guard.stdin is not None
    assert guard.stdout is not None
    await guard.stdout.read()
    await guard.wait()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await guard.stdin.wait_closed()
    shutil.rmtree(home, ignore_errors=True)  # Nothing is left unless the guard was killed.


def _kill_group(pid: int) -> None:
    """Kill what a killed guard could not: the kernel killed the browser itself, but not its children."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _exit_of(answer: Mapping[str, Any]) -> Exit:
    if not answer:
        return Exit(None, None, "the process that guarded it was killed")
    lines = bytes.fromhex(answer["stderr"]).decode(errors="replace").splitlines(keepends=True)
    words = "".join(line for line in lines if _CHATTER not in line)
    return Exit(answer["code"], answer["signal"], words[-_WORDS:])


def _launch_failed(installation: Installation, answer: Mapping[str, Any]) -> LaunchFailed:
    why = os.strerror(answer["error"]) if "error" in answer else _why_not_started(answer)
    return LaunchFailed(
        f"{installation.name} at {installation.executable} could not be started: {why}. "
        "Install it anew, or name another browser: executable=... or browser=....",
        browser=installation.name,
        executable=str(installation.executable),
    )


def _no_room(installation: Installation, error: OSError) -> LaunchFailed:
    return LaunchFailed(
        f"{installation.name} could not be given a profile and a process: {error}. Free some disk space, memory or "
        f"file descriptors, or name another directory for temporary files in TMPDIR.",
        browser=installation.name,
    )


def _why_not_started(answer: Mapping[str, Any]) -> str:
    return f"its X server ended ({_exit_of(answer)})" if answer else "the process that guards it was killed"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
