"""What becomes of a browser's processes and files, with shell scripts that stand for browsers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.browsers.conftest import poll, survivors
from tests.processes import command_line, name
from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.processes import launch as launching
from webinfer.browsers.processes.launch import Exit, launch
from webinfer.browsers.processes.process_tree import processes
from webinfer.browsers.remote import expect
from webinfer.core.errors import LaunchFailed

Script = Callable[[str, str], Path]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts stand for browsers")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's orphans to come to the guard")

PARENT = """
import asyncio, os, pathlib, time
from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.processes.launch import launch
async def main():
    await launch(Installation("chrome", "chromium", pathlib.Path({executable!r}), "explicit"), "http://x/")
    {then}
    await asyncio.sleep(60)
asyncio.run(main())
"""

FOREVER = "while true; do sleep 1000; done"


@pytest.fixture
def fake(script: Script) -> Callable[[str], Installation]:
    return lambda body: Installation("chrome", "chromium", script("chrome", body), "explicit")


def homes() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("webinfer-*"))


def ignored_here() -> int:
    """Return the signals that this process ignores, as a mask."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("SigIgn")).split()[1], 16)


async def read(path: Path) -> int:
    """Wait until a script has written a process id."""

    def read() -> int:
        return int(path.read_text()) if path.exists() and path.read_text().endswith("\n") else 0

    return await poll(read)


async def start_parent(installation: Installation, then: str) -> asyncio.subprocess.Process:
    """Start a Python that launches a browser, does something, and waits."""
    program = PARENT.format(executable=str(installation.executable), then=then)
    return await asyncio.create_subprocess_exec(sys.executable, "-c", program)


async def test_launch_runs_the_browser_in_its_own_directory_and_close_deletes_it(
    fake: Callable[[str], Installation],
) -> None:
    process = await launch(fake(FOREVER), "http://x/")
    assert process.profile.is_dir()
    assert process.home.stat().st_mode & 0o077 == 0
    assert psutil.Process(process.pid).environ()["HOME"] == str(process.home)
    assert "running" in repr(process)
    await process.close()
    assert not process.home.exists()
    assert not psutil.pid_exists(process.pid)
    assert process.exited.result().signal == signal.SIGTERM
    assert "SIGTERM" in repr(process)


async def test_close_may_be_called_again_and_at_once_from_several_places(fake: Callable[[str], Installation]) -> None:
    process = await launch(fake(FOREVER), "http://x/")
    await asyncio.gather(process.close(), process.close())
    await process.close()


async def test_browser_that_dies_at_start_tells_its_exit_code_and_last_words(
    fake: Callable[[str], Installation],
) -> None:
    process = await launch(
        fake("echo 'ERROR:dbus/bus.cc no bus' >&2; echo 'cannot open display' >&2; exit 3"), "http://x/"
    )
    ended = await process.exited
    assert ended == Exit(3, None, "cannot open display\n")
    assert str(ended) == "exit code 3; its last words: cannot open display"
    await process.close()
    assert not process.home.exists()


async def test_browser_that_crashes_tells_the_signal(fake: Callable[[str], Installation]) -> None:
    process = await launch(fake("kill -SEGV $$"), "http://x/")
    assert str(await process.exited) == "ended by SIGSEGV, without a word"
    await process.close()


async def test_last_words_are_the_last_of_many(fake: Callable[[str], Installation]) -> None:
    process = await launch(fake("head -c 200000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1"), "http://x/")
    ended = await process.exited
    assert ended.stderr.endswith("the end\n")
    assert len(ended.stderr) == 4096
    await process.close()


@pytest.mark.parametrize("kind", ["missing", "not executable", "not a program"])
async def test_executable_that_cannot_be_started_fails_with_its_name_and_leaves_nothing(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "chrome"
    if kind != "missing":
        path.write_bytes(b"\x7fELF nonsense")
    if kind == "not a program":
        path.chmod(0o755)
    with pytest.raises(LaunchFailed, match=rf"chrome at {path} could not be started: .*executable=") as caught:
        await launch(Installation("chrome", "chromium", path, "explicit"), "http://x/")
    assert caught.value.data["executable"] == str(path)
    assert homes() == []


@linux
async def test_safari_elsewhere_than_on_macos_is_refused_with_another_way_named() -> None:
    safari = Installation("safari", "webkit", Path("/Safari"), "system")
    with pytest.raises(LaunchFailed, match="browser='url'"):
        await expect(safari, "http://x/")
    assert homes() == []


@linux
async def test_close_ends_processes_that_left_the_browsers_group_and_session(
    fake: Callable[[str], Installation], tmp_path: Path
) -> None:
    note = tmp_path / "stray"
    process = await launch(fake(f"setsid sh -c 'trap \"\" TERM; echo $$ > {note}; {FOREVER}' & {FOREVER}"), "http://x/")
    stray = await read(note)
    await process.close()
    assert not psutil.pid_exists(stray)


@linux
async def test_strays_of_a_browser_that_ended_by_itself_are_ended_too(
    fake: Callable[[str], Installation], tmp_path: Path
) -> None:
    note = tmp_path / "stray"
    process = await launch(
        fake(f"setsid sh -c 'echo $$ > {note}; {FOREVER}' & while [ ! -s {note} ]; do :; done; exit 0"), "http://x/"
    )
    stray = await read(note)
    assert (await process.exited).code == 0
    await process.close()
    assert not psutil.pid_exists(stray)


async def test_close_kills_a_browser_that_will_not_end(fake: Callable[[str], Installation], tmp_path: Path) -> None:
    note = tmp_path / "ready"
    process = await launch(fake(f"trap '' TERM; echo $$ > {note}; {FOREVER}"), "http://x/")
    await read(note)
    began = time.monotonic()
    await process.close()
    assert time.monotonic() - began < launching._PATIENCE, "else its guard is killed, and it goes with it"
    assert process.exited.result().signal == signal.SIGKILL


@linux
async def test_browser_does_not_survive_its_guard(fake: Callable[[str], Installation]) -> None:
    process = await launch(fake(FOREVER), "http://x/")
    guard = psutil.Process(process.pid).parent()
    assert guard is not None
    tree = processes(process.pid)
    guard.kill()
    ended = await process.exited
    assert "guarded it was killed" in str(ended)
    await process.close()
    assert not process.home.exists()
    assert await survivors(tree) == []


@linux
async def test_browser_does_not_survive_its_guard_even_when_python_cannot_act(
    fake: Callable[[str], Installation], tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    parent = await start_parent(fake(f"echo $$ > {note}; exec sleep 1000"), "")
    browser = psutil.Process(await read(note))
    guard = browser.parent()
    assert guard is not None
    parent.send_signal(signal.SIGSTOP)
    guard.kill()
    assert await survivors([browser]) == []
    parent.kill()
    await parent.wait()
    for home in homes():  # With both of them killed there is nobody left to do it.
        shutil.rmtree(home)


@linux
async def test_browser_gets_the_usual_signal_handling(fake: Callable[[str], Installation]) -> None:
    process = await launch(fake("grep SigIgn /proc/self/status >&2"), "http://x/")
    ended = await process.exited
    ignored = int(ended.stderr.split()[1], 16)
    pythons = {signal.SIGPIPE, signal.SIGXFSZ}  # ignored by Python itself, so not by whoever started us
    inherited = ignored_here() & ~sum(1 << (number - 1) for number in pythons)
    assert not ignored & ~inherited, "it ignores nothing that whoever started us did not"
    await process.close()


async def test_guard_ends_its_browser_when_it_is_told_to_end(fake: Callable[[str], Installation]) -> None:
    process = await launch(fake(FOREVER), "http://x/")
    guard = psutil.Process(process.pid).parent()
    assert guard is not None
    guard.terminate()
    assert (await process.exited).signal == signal.SIGTERM
    await process.close()


async def test_cancelled_launch_leaves_nothing(fake: Callable[[str], Installation]) -> None:
    installation = fake(FOREVER)
    for delay in (0, 0.005, 0.01, 0.02, 0.04):
        task = asyncio.create_task(launch(installation, "http://x/"))
        await asyncio.sleep(delay)
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        if not isinstance(result, BaseException):  # It was quicker.
            await result.close()
        assert homes() == []
    assert {"chrome", "sleep"}.isdisjoint(map(name, psutil.Process().children(recursive=True)))


@linux
async def test_a_forked_process_that_holds_the_pipe_does_not_keep_the_browser_alive(
    fake: Callable[[str], Installation], tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    parent = await start_parent(fake(f"echo $$ > {note}; {FOREVER}"), "if os.fork() == 0: time.sleep(60)")
    browser = psutil.Process(await read(note))
    fork = await _fork(parent.pid)
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    assert await survivors([browser]) == []
    assert fork.is_running()
    fork.kill()


async def _fork(pid: int) -> psutil.Process:
    """Wait for the child of a program that runs the program's own code."""
    program = psutil.Process(pid)
    return (await poll(lambda: [child for child in program.children() if command_line(child) == program.cmdline()]))[0]
