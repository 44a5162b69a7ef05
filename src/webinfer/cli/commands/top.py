"""``webinfer top``: what the accelerators of other processes are doing, live."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.live import Live

from webinfer.cli.command import command
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.views import top as top_view
from webinfer.cli.views.rates import Watches
from webinfer.core.errors import HostError, OptionError

_EXAMPLES = """
webinfer top
webinfer top --pid 4242 --interval 0.5
webinfer top --json
"""


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: The command line.
    """
    command(app, "top", examples=_EXAMPLES)(top)


def top(
    terminal: Terminal,
    once: Annotated[bool, typer.Option("--once", help="Print what there is and leave.")] = False,
    pid: Annotated[
        int | None, typer.Option("--pid", help="Show the accelerators of this process only.", metavar="N")
    ] = None,
    interval: Annotated[float, typer.Option("--interval", help="Time between looks.", metavar="SECONDS")] = 1.0,
) -> None:
    """Watch the accelerators that run in other processes.

    Shows browsers and lanes with their load, throughput, waiting requests, memory, errors and the last faults. q or
    Ctrl-C ends it. If the output is not a terminal, it is printed once, as text. --json prints one snapshot of each.

    Raises:
        OptionError: The interval is too short or too long.
        HostError: No accelerator runs in the named process.
    """
    if not 0.05 <= interval <= 3600:
        raise OptionError(f"--interval must be between 0.05 and 3600 seconds, not {interval:g}.", option="interval")
    watches = Watches(pid)
    running = watches.look()
    if pid is not None and not running:
        raise HostError(f"No accelerator runs in process {pid}. `webinfer top` shows all that run.", pid=pid)
    if terminal.json:
        terminal.emit({"accelerators": [watch.snapshot for watch in running if watch.snapshot is not None]})
    elif not running:
        terminal.show(top_view.nothing())
    elif once or not terminal.out.is_terminal:
        threading.Event().wait(interval)  # rates are differences
        terminal.show(top_view.view(watches.look()))
    else:
        _live(terminal, watches, interval)


def _live(terminal: Terminal, watches: Watches, interval: float) -> None:
    """Draw until the user presses q or Ctrl-C."""
    drawn = Live(console=terminal.out, screen=True, auto_refresh=False)
    with contextlib.suppress(KeyboardInterrupt), _keys() as leave, drawn as live:
        due = time.monotonic()
        while True:
            live.update(top_view.screen(watches.look(), interval, terminal.out), refresh=True)
            due = max(due + interval, time.monotonic())  # after a slow look, those that were missed are left out
            while (rest := due - time.monotonic()) > 0:
                if leave(rest):
                    return


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Yield a function that waits some seconds for a key, and returns whether q was pressed."""
    if importlib.util.find_spec("termios") is None or not sys.stdin.isatty():
        yield threading.Event().wait
        return
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard)
    try:
        yield lambda seconds: bool(select.select([keyboard], [], [], seconds)[0]) and b"q" in os.read(keyboard, 64)
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
