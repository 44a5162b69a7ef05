"""Start one browser, and see to it that nothing of it survives us or the process that asked for it.

It runs as a process of its own, in a session of its own, so that Ctrl-C does not reach it. It imports little of the
standard library and nothing else, because every launch waits for it::

    python -I -S guard.py PARENT HOME COUNT [SERVER...] EXECUTABLE [ARGUMENT...]

PARENT is the process that asked. HOME is the directory to delete in the end. SERVER is the command of an X server that
the browser needs, in COUNT words, or nothing. The browser gets our environment, and our standard error for its output,
a file in HOME. Standard output reports what happens, a JSON object a line: ``{"pid": 123}`` or ``{"error": errno}``,
then ``{"code": 0, "signal": null, "stderr": "hex of its last words"}``; that alone when it is the X server that ended.

It ends when the browser ends, when standard input ends, when the parent is gone, or on a signal. Standard input ends
when the parent closes it or dies in any way, unless a process that the parent forked keeps it open. Then the browser's
process group gets SIGTERM, after a while SIGKILL, and in the end every process descended from it is killed. On Linux
orphans become our children, so none gets away, and the kernel kills the browser if the guard is killed.
"""

# No pathlib here: it takes as long to import as all the rest.
# ruff: noqa: PTH112, PTH118, PTH123, PTH208
from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable

GRACE = 1.0  # Seconds from SIGTERM to SIGKILL. The profile is thrown away, so there is nothing that it must save.
TAIL = 16384  # Bytes of the browser's last words that are reported.

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # From <linux/prctl.h>.
_CANNOT_START = 127  # As the shell says it. Nobody reads it.

Prctl = Callable[[int, int], int]


def main() -> None:
    """Guard one browser from its start to its end."""
    parent, home, count, words = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    server, argv = words[:count], words[count:]
    if sys.platform == "win32":
        _guard_windows(home, argv)
    else:
        _guard(parent, home, server, argv)
    import shutil  # Late: it is slow to import, and nothing waits for it now.

    shutil.rmtree(home, ignore_errors=True)


def _guard(parent: int, home: str, server: list[str], argv: list[str]) -> None:
    signals = _signals()
    prctl = _prctl()
    prctl(_SET_CHILD_SUBREAPER, 1)
    if server and not _start_server(server, prctl, home):
        return
    pid, error = _start(argv, prctl)
    if error:
        os.waitpid(pid, 0)
        _tell(error=error)
        return
    _tell(pid=pid)
    family = _Family(pid, home)
    _watch(signals, parent, family)
    _end(signals, family)


class _Family:
    """The browser and those that descend from it, as far as they are our children."""

    def __init__(self, pid: int, home: str) -> None:
        self.pid = pid
        self.home = home
        self.ended = False  # The browser itself.

    def reap(self) -> None:
        """Reap all children that have ended."""
        with contextlib.suppress(ChildProcessError):
            while (child := os.waitpid(-1, os.WNOHANG))[0]:
                self.note(*child)

    def note(self, pid: int, status: int) -> None:
        """Take note of a child's end; the browser's is reported."""
        if pid == self.pid and not self.ended:
            self.ended = True
            _tell_exit(self.home, os.waitstatus_to_exitcode(status))


def _signals() -> int:
    """Return a pipe from which the number of every signal that matters can be read, a byte each."""
    import signal

    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # The byte is what counts.
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read


def _start_server(argv: list[str], prctl: Prctl, home: str) -> bool:
    """Start an X server and name its display in our environment, or report why there is none.

    Returns:
        Whether a display is there now.
    """
    read, write = os.pipe()
    os.set_inheritable(write, True)
    pid, error = _start([*argv, "-displayfd", str(write)], prctl)
    os.close(write)
    number = b""
    while not number.endswith(b"\n") and (more := os.read(read, 16)):  # Its end, should it never come to write one.
        number += more
    os.close(read)
    if number:
        os.environ["DISPLAY"] = f":{int(number)}"
        return True
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if error:
        _tell(error=error)
    else:
        _tell_exit(home, code)
    return False


def _start(argv: list[str], prctl: Prctl) -> tuple[int, int]:
    """Start the browser in a process group of its own.

    Returns:
        Its process id, and the number of the error that kept it from starting, or 0.
    """
    read, write = os.pipe()  # Closed by a successful exec.
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(argv, prctl, guard, write)
    os.close(write)
    failure = os.read(read, 16)  # Blocks until the exec, and so until the group exists that _end() kills.
    os.close(read)
    return pid, int(failure or 0)


def _become(argv: list[str], prctl: Prctl, guard: int, failure: int) -> None:
    """Turn this process into the browser, or write the error's number to ``failure`` and end."""
    import signal

    try:
        os.setpgid(0, 0)
        prctl(_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == guard:  # Else the guard died before the death signal was set, and nobody would end this.
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec would leave it so.
                signal.signal(number, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
            os.execv(argv[0], argv)
    except OSError as error:
        os.write(failure, str(error.errno).encode())
    finally:
        os._exit(_CANNOT_START)


def _watch(signals: int, parent: int, family: _Family) -> None:
    """Return when the browser has ended or has to."""
    import select
    import signal

    ends = [0]
    if hasattr(os, "pidfd_open"):
        try:
            ends.append(os.pidfd_open(parent))
        except ProcessLookupError:
            return
        except OSError:  # An old kernel. Standard input has to do.
            pass
    while not family.ended:
        ready = select.select([*ends, signals], [], [])[0]
        if signals in ready and set(os.read(signals, 512)) != {signal.SIGCHLD}:
            return  # Any signal but that of a child asks us to end.
        family.reap()
        if any(end in ready for end in ends):  # Nothing is ever written to standard input: it has ended.
            return


def _end(signals: int, family: _Family) -> None:
    """End the browser and all that descends from it, and return when nothing is left."""
    import select
    import signal
    import time

    _kill_group(family.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while not family.ended and (left := deadline - time.monotonic()) > 0:
        if select.select([signals], [], [], left)[0]:
            os.read(signals, 512)
            family.reap()
    _kill_group(family.pid, signal.SIGKILL)
    while True:  # As parents die, their children become ours, until there are none.
        for child in _children():
            os.kill(child, signal.SIGKILL)
        try:
            family.note(*os.waitpid(-1, 0))
        except ChildProcessError:
            return


def _kill_group(group: int, signal: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # Nobody left; macOS so calls a group of zombies.
        os.killpg(group, signal)


def _children() -> list[int]:
    """Return our children. They stay until we reap them, so that none of these numbers can mean another process."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:  # Not Linux, or a kernel built without that file.
        numbers = os.listdir("/proc") if os.path.isdir("/proc") else []
        return [int(pid) for pid in numbers if pid.isdecimal() and _parent(pid) == os.getpid()]


def _parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:  # It ended meanwhile.
        return 0


def _prctl() -> Prctl:
    """Return Linux's prctl, elsewhere a function that does nothing."""
    if sys.platform != "linux":
        return lambda _option, _value: 0
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda option, value: int(prctl(option, value))


def _tell(**what: int | str | None) -> None:
    with contextlib.suppress(OSError):  # Nobody listens any more.
        os.write(1, json.dumps(what).encode() + b"\n")


def _tell_exit(home: str, code: int) -> None:
    """Tell how the browser ended, by a code or by a signal (below 0), and the end of what it wrote."""
    tail = b""
    with contextlib.suppress(OSError), open(os.path.join(home, "stderr.log"), "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
        tail = file.read(TAIL)
    _tell(code=code if code >= 0 else None, signal=None if code >= 0 else -code, stderr=tail.hex())


def _guard_windows(home: str, argv: list[str]) -> None:
    """Guard where there are neither process groups nor reaping, by the tree of processes. Not tested on Windows."""
    import subprocess
    import threading

    try:
        browser = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    except OSError as error:
        _tell(error=error.errno)
        return
    _tell(pid=browser.pid)

    def end_with_input() -> None:
        os.read(0, 1)
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(browser.pid)], capture_output=True, check=False)

    threading.Thread(target=end_with_input, daemon=True).start()
    _tell_exit(home, browser.wait())


if __name__ == "__main__":
    main()
