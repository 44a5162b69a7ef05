"""``webinfer atlas``: which operators are right where, run here, looked up, compared and merged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.text import Text

from webinfer import Options, WebinferError
from webinfer.api.services.atlas import (
    Surveyor,
    all_trials,
    differences,
    find,
    known,
    merge,
    render,
    user_path,
)
from webinfer.api.services.browsers import find as find_browser
from webinfer.api.services.browsers import find_all
from webinfer.cli.command import HELP, command, split
from webinfer.cli.files.outputs import writable
from webinfer.cli.output.terminal import FAILED, Terminal
from webinfer.cli.output.units import size
from webinfer.cli.views.accuracy import atlas as atlas_view
from webinfer.cli.views.accuracy.atlas import SurveyBar
from webinfer.core.errors import OptionError
from webinfer.core.options import BACKENDS, Backend, BrowserName

_SHOW = """
webinfer atlas
webinfer atlas --operator Resize --json
webinfer atlas --html atlas.html
"""
_RUN = """
webinfer atlas run
webinfer atlas run --browser embedded --platform webnn,wasm --time 600
webinfer atlas run --only sweep_resize --again
"""
_DIFF = """
webinfer atlas diff shipped user
webinfer atlas diff embedded-153/webnn embedded-154/webnn
webinfer atlas diff before.json.gz after.json.gz --json
"""
_MERGE = "webinfer atlas merge theirs.json.gz"


def register(app: typer.Typer) -> None:
    """Add the commands.

    Args:
        app: The command line.
    """
    group = typer.Typer(name="atlas", context_settings=HELP, rich_markup_mode=None)
    command(group, "atlas", examples=_SHOW, default=True)(atlas)
    command(group, "run", flags=("executable", "headless", "launch_timeout"), examples=_RUN)(run)
    command(group, "diff", examples=_DIFF)(diff)
    command(group, "merge", examples=_MERGE)(merge_)
    app.add_typer(group)


def atlas(
    terminal: Terminal,
    operator: Annotated[str | None, typer.Option(metavar="NAME", help="Show the rows of this operator.")] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", callback=writable, help="Write a page to look things up in."),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option("--of", metavar="ATLAS", help="A file, shipped, user, or a survey.", show_default="all"),
    ] = None,
) -> None:
    """Show which operators each browser and backend computes rightly.

    The rows are those that came with webinfer, and those of your own runs.
    """
    rows = find(of) if of else known()
    if html is not None:
        _write(html, render(rows))
        if terminal.json:
            terminal.emit({"output": html, "nbytes": html.stat().st_size})
        else:
            terminal.show(Text.assemble(f"{html}  ", (size(html.stat().st_size), "quiet")))
        return
    chosen = [row for row in rows.rows() if operator and row.case.facts.operator.lower() == operator.lower()]
    if operator and not chosen:
        raise OptionError(f"The atlas has no row of {operator!r}.", option="operator")
    if terminal.json:
        terminal.emit(
            {
                "path": user_path(),
                "surveys": [
                    {**survey.ground.to_dict(), "name": survey.ground.name, "counts": survey.counts()}
                    for survey in rows.surveys.values()
                ],
                "rows": [row.to_dict() for row in chosen],
            }
        )
    elif operator:
        terminal.show(atlas_view.rows_view(chosen))
    else:
        terminal.show(atlas_view.surveys_view(list(rows.surveys.values())))


def run(
    terminal: Terminal,
    options: Options,
    browsers: Annotated[
        list[str] | None,
        typer.Option("--browser", "-b", metavar="NAME,...", help="Browsers.", show_default="all found"),
    ] = None,
    platforms: Annotated[
        list[str] | None,
        typer.Option("--platform", "-p", metavar="NAME,...", help="webgpu, webnn, wasm.", show_default="all"),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="TEXT,...", help="Only cases whose names contain one of these."),
    ] = None,
    time: Annotated[
        float | None,
        typer.Option("--time", min=1.0, metavar="SECONDS", help="Time for each backend; a later run goes on."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Run cases that have a row, too.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", callback=writable, help="Add the rows to this file instead."),
    ] = None,
) -> None:
    """Run the atlas's cases through the browsers here; add the rows.

    The cases are ONNX's own tests, the runtime's operators and sweeps over attributes. A case that ends its lane costs
    that lane alone. A run that is stopped goes on where it was.
    """
    parts = split(only)
    trials = [trial for trial in all_trials() if not parts or any(part in trial.name for part in parts)]
    if not trials:
        raise OptionError(f"No case has a name with {' or '.join(parts)}.", option="only")
    path, surveys, failures = output or user_path(), [], {}
    logging.getLogger("webinfer.pool").setLevel(logging.ERROR)  # lanes end here by the dozen, and rows say which
    with SurveyBar(terminal) as bar:
        for browser, backend in _places(options, split(browsers), split(platforms)):
            where = f"{browser} {backend}"
            surveyor = Surveyor(replace(options, browser=browser), backend, path)
            bar.begin(where, len(trials))
            try:
                for step in surveyor.run(trials, seconds=time, again=again):
                    bar.show(step)
            except WebinferError as error:
                failures[where] = error
            else:
                surveys.append(surveyor.survey)
    if terminal.json:
        terminal.emit(
            {
                "output": path,
                "surveys": [{**survey.ground.to_dict(), "counts": survey.counts()} for survey in surveys],
                "errors": {where: error.to_dict() for where, error in failures.items()},
            }
        )
    else:
        terminal.show(atlas_view.surveys_view(surveys, failures), Text(f"  {path}", style="quiet"))
    if not surveys:
        raise typer.Exit(FAILED)


def diff(
    terminal: Terminal,
    first: Annotated[str, typer.Argument(metavar="A", help="The earlier: a file, shipped, user, or a survey.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The later.")],
) -> None:
    """Show what a new browser or runtime broke or mended.

    Exits with 1 if something broke.
    """
    found = differences(find(first), find(second))
    if not found:
        raise OptionError(f"{first} and {second} have no browser and backend in common.", option="atlas")
    if terminal.json:
        terminal.emit({"a": first, "b": second, "differences": [one.to_dict() for one in found]})
    else:
        terminal.show(atlas_view.differences_view(found))
    if any(change.direction == "broke" for one in found for change in one.changes):
        raise typer.Exit(FAILED)


def merge_(
    terminal: Terminal,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of others, as run writes them.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", callback=writable, help="The file that takes the rows."),
    ] = None,
) -> None:
    """Take in the rows of others; each keeps where it was run.

    Without --output, this user's own file takes them, and models are steered by them from then on.
    """
    merged, changed = merge(files, output)
    place = output or user_path()
    if terminal.json:
        terminal.emit({"output": place, "changed": changed, "surveys": len(merged.surveys)})
    else:
        terminal.show(Text.assemble(f"{place}  ", (f"{changed:,} new or changed rows", "quiet")))


def _places(
    options: Options, browsers: tuple[str, ...], platforms: tuple[str, ...]
) -> Iterator[tuple[BrowserName, Backend]]:
    unknown = [name for name in platforms if name not in BACKENDS]
    if unknown:
        raise OptionError(f"--platform takes {', '.join(BACKENDS)}, not {unknown[0]!r}.", option="platform")
    names = browsers or (("auto",) if options.executable else tuple(found.name for found in find_all()))
    for name in names:
        if not options.executable:
            find_browser(cast(BrowserName, name))  # it says how to get one that is missing
        for backend in BACKENDS:
            if not platforms or backend in platforms:
                yield cast(BrowserName, name), backend


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{path} cannot be written ({error.strerror}): name another file.", option="html") from error
