"""The command line's root: its name, its version, its commands."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

import webinfer
from webinfer.cli.command import HELP
from webinfer.cli.completion import as_bash_has_it
from webinfer.cli.registry import Root

_EPILOG = """\b
Exit codes:
  0    fine
  1    an error of webinfer, printed as one block (with --json as an object)
  2    the command line was wrong; bench: only software computed
  130  interrupted; nothing is left running

\b
Start here:
  webinfer install chromium    bring a browser, unless there is one
  webinfer demo                see a model answer from it
"""

app = typer.Typer(
    name="webinfer",
    cls=Root,
    help="Run machine-learning models in real web browsers: WebGPU, WebNN and WebAssembly.",
    epilog=_EPILOG,
    context_settings=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help, the same in a terminal, in a file and in docs/reference/cli.md
    pretty_exceptions_enable=False,
)


def _show_version(show: bool) -> None:
    if show:
        typer.echo(f"webinfer {webinfer.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run machine-learning models in real web browsers: WebGPU, WebNN and WebAssembly.

    Args:
        version: Whether to print the version; its callback exits after that.
    """


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe's encoding may lack a character, which must not be an error
            stream.reconfigure(errors="replace")
    with as_bash_has_it(os.environ):
        app(prog_name="webinfer")
