"""``webinfer check``: which nodes of a model run, fall back or are wrong, on every browser and backend."""

from __future__ import annotations

from typing import Annotated

import typer

from webinfer import Options
from webinfer.api.services.atlas import check as look_up
from webinfer.api.services.atlas import known, try_out
from webinfer.api.services.browsers import find_all
from webinfer.api.services.models import resolve
from webinfer.cli.arguments import ModelName, PartName, PrecisionName
from webinfer.cli.command import command, split
from webinfer.cli.output.terminal import FAILED, Terminal
from webinfer.cli.views.accuracy import check as check_view
from webinfer.core.errors import OptionError

_FLAGS = ("headless", "launch_timeout", "load_timeout", "run_timeout")
_EXAMPLES = """
webinfer check model.onnx
webinfer check model.onnx --browser embedded --platform webnn --run
webinfer check wheel:all-MiniLM-L6-v2 --json
"""


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: The command line.
    """
    command(app, "check", flags=_FLAGS, examples=_EXAMPLES)(check)


def check(
    terminal: Terminal,
    options: Options,
    model: ModelName,
    browsers: Annotated[
        list[str] | None,
        typer.Option("--browser", "-b", metavar="NAME,...", help="Only these browsers.", show_default="all known"),
    ] = None,
    platforms: Annotated[
        list[str] | None,
        typer.Option("--platform", "-p", metavar="NAME,...", help="Only these backends.", show_default="all"),
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Run the model too, in the browsers that are here.")] = False,
    precision: PrecisionName = None,
    part: PartName = None,
) -> None:
    """Say where a model's nodes run, fall back or are wrong; what to change.

    Every node is looked up in the atlas, for each browser and backend that it knows. Exits with 1 if none of them is
    known to be free of wrong nodes.
    """
    with terminal.steps() as steps:
        package = resolve(model, precision=precision, part=part, progress=steps)
        names, backends = split(browsers), split(platforms)
        with steps.step("look up the nodes"):
            checks = [
                one
                for one in look_up(package, known())
                if (not names or one.ground.browser in names) and (not backends or one.ground.backend in backends)
            ]
        if not checks:
            raise OptionError(
                "The atlas knows no such browser and backend: run `webinfer atlas run`.", option="browser"
            )
        if run:
            here = {found.name for found in find_all()}
            with steps.step("run the model"):
                try_out(package, [one for one in checks if one.ground.browser in here], options)
    if terminal.json:
        about = {"model": package.name, "precision": package.precision}
        terminal.emit({**about, "checks": [one.to_dict() for one in checks]})
    else:
        terminal.show(check_view.view(package, checks))
    if all(one.verdict in ("wrong", "refused") for one in checks):
        raise typer.Exit(FAILED)
