"""``webinfer install``: install the embedded browser."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from webinfer.api.services.browsers import install_chromium, version
from webinfer.cli.command import command
from webinfer.cli.output.terminal import Terminal


class Installable(StrEnum):
    """What can be installed."""

    CHROMIUM = "chromium"


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: The command line.
    """
    command(app, "install", examples="webinfer install\nWEBINFER_CACHE=/data/webinfer webinfer install chromium")(
        install
    )


def install(
    terminal: Terminal,
    browser: Annotated[Installable, typer.Argument(help="The browser to install.")] = Installable.CHROMIUM,
) -> None:
    """Install the embedded browser, unless it is installed.

    It goes to the cache directory, needs no root and changes nothing else on the system. Prints the path of the
    executable.
    """
    with terminal.steps() as steps:
        installation = install_chromium(steps)
        with steps.step("ask its version", brief=True):
            known = version(installation)
    if terminal.json:
        terminal.emit(
            {
                "browser": browser.value,
                "name": installation.name,
                "version": known,
                "executable": installation.executable,
            }
        )
        return
    if not terminal.quiet:
        terminal.err.print(Text.assemble(("Chromium", "title"), f" {known or 'of unknown version'} is installed:"))
    terminal.out.print(Text(str(installation.executable)), soft_wrap=True)
