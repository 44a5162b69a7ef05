"""Write the pages of docs/reference that derive from the code, and build the documentation site.

Run by `make docs`; with ``--check`` only says which pages are out of date.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from webinfer import AsyncPipeline
from webinfer.core import errors, options
from webinfer.pipelines.registry import ALIASES, TASKS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SITE = ROOT / "build" / "site"
MADE = "<!-- Written by `make docs`; edit {source} instead. -->\n"


def options_page() -> str:
    """Make the table of options."""
    hints = get_type_hints(options.Options)
    rows = [
        (f"`{option.name}`", spell(hints[option.name]), f"`{option.default!r}`", text)
        for option, text in options.describe()
    ]
    return "\n".join(
        [
            "# Options",
            MADE.format(source="src/webinfer/core/options/options.py"),
            str(inspect.getdoc(options.Options)).replace("``", "`"),
            "Give them as keywords: `Accelerator(lanes=2, run_timeout=None)`.\n",
            *table(("Option", "Values", "Default", "Meaning"), rows),
        ]
    )


def errors_page() -> str:
    """Make the table of error codes."""
    rows = [
        (f"`{cls.code}`", f"`{cls.__name__}`", "yes" if cls.retryable else "", str(inspect.getdoc(cls)))
        for cls in walk(errors.WebinferError)
    ]
    tree = str(errors.__doc__).split("::\n", 1)[1]
    lines = [line.removeprefix("    ") for line in tree.splitlines()]
    end = next(number for number, line in enumerate(lines) if line and not line.startswith(("W", "+", "|", " ")))
    drawn, said = "\n".join(lines[:end]).strip("\n"), "\n".join(lines[end:]).strip().replace("``", "`")
    return "\n".join(
        [
            "# Errors",
            MADE.format(source="src/webinfer/core/errors"),
            said,
            "",
            f"```text\n{drawn}\n```\n",
            "All are in `webinfer.errors`. *Again*: the same request may succeed when it is run again.\n",
            *table(("Code", "Class", "Again", "Meaning"), rows),
        ]
    )


def cli_page() -> str:
    """Make the reference of the command line: what ``--help`` prints, for each command."""
    from typer.main import get_command

    from webinfer.cli import app

    parts = [f"## `{path}`\n\n```text\n{text}\n```\n" for path, text in helps(get_command(app), "webinfer")]
    return "\n".join(["# Command line", MADE.format(source="src/webinfer/cli"), *parts])


def helps(command: Any, path: str, parent: Any = None) -> Iterator[tuple[str, str]]:
    """Yield each command's path and help, as plain text: the boxes that a terminal shows depend on its width."""
    command.rich_markup_mode = None
    settings = {**command.context_settings, "terminal_width": 100}
    context = command.context_class(command, parent=parent, info_name=path.split()[-1], **settings)
    yield path, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    for name, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            yield from helps(child, f"{path} {name}", context)


def tasks_page() -> str:
    """Make the reference of the tasks, from the docstrings of their answers."""
    parts = [section(name, kind) for name, kind in sorted(TASKS.items())]
    return "\n".join(["# Tasks", MADE.format(source="src/webinfer/pipelines"), TASKS_INTRODUCTION, *parts])


def section(name: str, kind: type[AsyncPipeline]) -> str:
    """Write one task down: what it does, its parameters, what it returns."""
    said = str(inspect.getdoc(kind._answer)).replace("``", "`")
    summary, *parts = re.split(r"^(Args|Returns|Raises|Yields):\n", said, flags=re.MULTILINE)
    told = {head: inspect.cleandoc(body) for head, body in zip(parts[::2], parts[1::2], strict=True)}
    texts = dict(re.findall(r"^(\w+): (.*(?:\n +.*)*)", told.get("Args", ""), re.MULTILINE))
    rows = [
        (
            f"`{each.name}`",
            "" if each.default is each.empty or each.kind is each.POSITIONAL_ONLY else f"`{each.default!r}`",
            " ".join(texts.get(each.name, "").split()),
        )
        for each in inspect.signature(kind._answer).parameters.values()
        if each.name != "self"
    ]
    own = f"Without a model, `{kind.default}`.\n" if kind.default else ""
    also = [alias for alias, meant in ALIASES.items() if meant == name]
    lines = [
        f"## `{name}`\n",
        f"{str(inspect.getdoc(kind)).splitlines()[0]} {summary.strip()}\n",
        own,
        f"Also called {', '.join(f'`{alias}`' for alias in also)}.\n" if also else "",
        *table(("Parameter", "Default", "Meaning"), rows),
        f"\nReturns: {' '.join(told.get('Returns', '').split())}\n",
    ]
    return "\n".join(line for line in lines if line)


TASKS_INTRODUCTION = """\
Tasks have the names that Transformers gives them. They take the same parameters and answer in the same form, with NumPy
arrays for tensors. There are three ways to run one:

- `webinfer.pipeline(task, model)` in a browser of its own,
- `accelerator.pipeline(task, model)` in a browser that others share,
- `webinfer run MODEL --task TASK` on the command line.

Parameters that you give when you make a pipeline hold for each of its calls. [The tutorial](../tutorial.md) shows some
tasks at work.
"""

PAGES: dict[str, Callable[[], str]] = {
    "reference/options.md": options_page,
    "reference/errors.md": errors_page,
    "reference/cli.md": cli_page,
    "reference/tasks.md": tasks_page,
}


def outdated() -> Iterator[tuple[Path, str]]:
    """Yield each page that differs from what the code says, with what it should hold."""
    for name, make in PAGES.items():
        path, text = DOCS / name, make().rstrip() + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield path, text


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Lay out a Markdown table."""
    for cells in (heads, ("---",) * len(heads), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def spell(hint: Any) -> str:
    """Write a type the way a reader would: `auto`, `webgpu` … for a Literal, `int` or `None` for a union."""
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join("`None`" if part is types.NoneType else spell(part) for part in get_args(hint))
    if get_origin(hint) is tuple and get_origin(get_args(hint)[0]) is Literal:
        return f"several of {spell(get_args(hint)[0])}"
    name = str(hint).replace("collections.abc.", "").replace(" | ", " or ") if get_origin(hint) else hint.__name__
    return f"`{name}`"


def walk(cls: type[errors.WebinferError]) -> Iterator[type[errors.WebinferError]]:
    yield cls
    for child in cls.__subclasses__():
        if child.__module__.startswith(errors.__name__):
            yield from walk(child)


def build(target: Path) -> subprocess.CompletedProcess[str]:
    """Build the site, strictly: a link or an anchor that leads nowhere fails.

    Args:
        target: Directory to build into; what it held is deleted.

    Returns:
        The finished process; its ``stderr`` names what failed.
    """
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def main() -> None:
    pages = list(outdated())
    if "--check" in sys.argv[1:]:
        sys.exit("Out of date, run `make docs`: " + ", ".join(path.name for path, _ in pages) if pages else 0)
    for path, text in pages:
        path.write_text(text, encoding="utf-8")
        print(f"Written: {path.relative_to(ROOT)}")
    built = build(SITE)
    if built.returncode:
        sys.exit(built.stdout + built.stderr)
    print(f"The documentation lies in {SITE / 'index.html'}")


if __name__ == "__main__":
    main()
