"""The terminal of a command, and the layout of an error in it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import textwrap
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler
from rich.text import Text
from rich.theme import Theme

from webinfer.api.services.logs import JsonFormatter
from webinfer.cli.output.progress import Steps
from webinfer.core.errors import OptionError, WebinferError
from webinfer.core.json import dumps

FINE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
WIDTH = 100  # columns of output that does not go to a terminal

THEME = Theme(
    {
        "title": "bold",
        "label": "cyan",
        "quiet": "bright_black",
        "good": "green",
        "warn": "yellow",
        "bad": "bold red",
        "command": "bold",
    }
)


class Terminal:
    """Standard output for answers, standard error for everything else.

    Args:
        json: Print answers as JSON objects, and nothing else, to standard output.
        quiet: Print no progress, and log errors only.
        verbosity: 1 logs the life cycle, 2 everything.
        log_json: Write logs and the error that ends a command to standard error, as JSON lines. Show no progress.
            The life cycle is logged, unless ``quiet``.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False, verbosity: int = 0, log_json: bool = False) -> None:
        self.json = json
        self.quiet = quiet or log_json
        self.verbosity = verbosity
        self.log_json = log_json
        self._least = _level(quiet, max(verbosity, int(log_json)))
        self.out = console(sys.stdout)
        self.err = console(sys.stderr)

    def __repr__(self) -> str:
        return (
            f"<Terminal {'json' if self.json else 'text'} verbosity={self.verbosity}{' quiet' if self.quiet else ''}>"
        )

    def show(self, *parts: RenderableType) -> None:
        """Print for people.

        Args:
            parts: What to print, a line or more each.
        """
        if self.out.is_terminal:
            self.out.print(*parts, sep="\n")
            return
        # rich pads lines to the full width. In a file or a pipe the spaces at their ends are noise.
        with self.out.capture() as captured:
            self.out.print(*parts, sep="\n")
        sys.stdout.write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")

    def emit(self, value: Mapping[str, Any]) -> None:
        """Print a JSON object.

        Args:
            value: The object.
        """
        sys.stdout.write(dumps(value, indent=2) + "\n")

    def steps(self) -> Steps:
        """Return a progress display, to be used as a context manager."""
        return Steps(self.err, silent=self.quiet)

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Turn our errors, Ctrl-C and SIGTERM into a few lines and an exit code. Log while the block runs.

        A ``KeyboardInterrupt`` may have more sentences to print as its arguments.

        Raises:
            typer.Exit: An error of ours or an interrupt ended the block.
        """
        handler = self._log_handler()
        logger = logging.getLogger("webinfer")
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(handler.level)
        try:
            with _terminable():
                yield
        except WebinferError as error:
            self.fail(error)
            raise typer.Exit(USAGE if isinstance(error, OptionError) else FAILED) from None
        except KeyboardInterrupt as interrupt:
            # An interrupt may end a call before it is sent. Python warns about that later; the warning helps nobody.
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            if self.log_json:
                logger.warning(": ".join(["interrupted", *map(str, interrupt.args)]))
            else:
                sentences = ["Interrupted; nothing is left running.", *map(str, interrupt.args)]
                self.err.print(Text(" ".join(sentences), style="quiet"), soft_wrap=True)
            raise typer.Exit(INTERRUPTED) from None
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)

    def fail(self, error: WebinferError) -> None:
        """Print an error: as an object with ``--json``, else as one block of text.

        Args:
            error: The error.
        """
        if self.json:
            self.emit({"error": error.to_dict()})
        if self.log_json:
            logging.getLogger("webinfer.cli").error("%s", error, exc_info=error)
            return
        if not self.json:
            self.err.print(block(error, self.err.width))
        if self.verbosity >= 1 and (stack := error.data.get("stack")):
            self.err.print(Text(textwrap.indent(str(stack), "  "), style="quiet"))
        if self.verbosity >= 2:
            self.err.print(Text(traceback.format_exc(), style="quiet"))

    def _log_handler(self) -> logging.Handler:
        if self.log_json:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(JsonFormatter())
            handler.setLevel(self._least)
            return handler
        return RichHandler(
            self._least,
            self.err,
            show_path=False,
            highlighter=NullHighlighter(),
            log_time_format="%H:%M:%S",
            omit_repeated_times=False,
        )


def _level(quiet: bool, verbosity: int) -> int:
    return logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)]


def console(file: Any) -> Console:
    """Return a console for a stream. A stream that is not a terminal has a fixed width and no control codes.

    Args:
        file: The stream.
    """
    width = None if file.isatty() else int(os.environ.get("COLUMNS") or WIDTH)
    return Console(file=file, theme=THEME, width=width, highlight=False, emoji=False, soft_wrap=False)


def block(error: WebinferError, width: int) -> Text:
    """Return an error as lines of text: its code, then the message.

    Args:
        error: The error.
        width: Columns of the terminal.
    """
    head = Text.assemble(("error", "bad"), ": ", (error.code, "title"))
    fill = textwrap.TextWrapper(
        max(40, min(width, WIDTH)),
        initial_indent="  ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return Text("\n").join([head, *(Text(fill.fill(line)) for line in str(error).splitlines() or [""])])


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM, which CI sends, end the block as Ctrl-C does, so that results so far are saved."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
