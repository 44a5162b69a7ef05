"""The commands by name. A command's module is imported only when it is used, because most import NumPy and more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from itertools import pairwise
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

# Each name is a module of `commands`. Its help starts with the summary; a test compares them.
SUMMARIES = {
    "demo": "Embed sentences in a browser; show what did it, and how fast.",
    "doctor": "Try every backend of every browser found, on a small model.",
    "explain": "Show where a model's nodes and time go on each backend, and why.",
    "locate": "Find the first node that a browser computes wrongly, and show it.",
    "check": "Say where a model's nodes run, fall back or are wrong; what to change.",
    "run": "Run a model in a browser; show outputs, and where the time went.",
    "bench": "Measure models in browsers, beside native onnxruntime.",
    "tune": "Find the fastest way to run a model here; auto takes it then.",
    "compare": "Compare two benchmarks, configuration by configuration.",
    "history": "Find where the benchmarks in a database changed for good.",
    "top": "Watch the accelerators that run in other processes.",
    "install": "Install the embedded browser, unless it is installed.",
    "pull": "Fetch or build a model, and verify it, unless it is here.",
    "quantize": "Bring a model to fewer bits; show sizes and losses.",
    "report": "Write a report of a database of results.",
    "models": "List the known models, and which of them are ready.",
    "ipfs": "Publish and fetch models by the hash of their contents.",
    "atlas": "Show which operators each browser and backend computes rightly.",
    "db": "Look into databases of results, merge, export and query them.",
}

_MODULES = {  # of the commands in a folder
    "atlas": "accuracy.atlas",
    "check": "accuracy.check",
    "locate": "accuracy.locate",
    "install": "assets.install",
    "models": "assets.models",
    "ipfs": "assets.ipfs",
    "pull": "assets.pull",
    "quantize": "assets.quantize",
    "bench": "benchmarks.bench",
    "compare": "benchmarks.compare",
    "history": "benchmarks.history",
    "report": "benchmarks.report",
    "tune": "benchmarks.tune",
}


class Commands(Mapping[str, Any]):
    """The commands. Each is made when it is first used."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Commands {len(self._loaded)} of {len(self)}>"

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            if name not in SUMMARIES:
                raise KeyError(name)
            app = typer.Typer(rich_markup_mode=None)
            import_module(f"webinfer.cli.commands.{_MODULES.get(name, name)}").register(app)
            app.callback()(_nothing)  # so that typer makes a group, even of one command
            self._loaded[name] = get_group(app).commands[name]
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(SUMMARIES)

    def __len__(self) -> int:
        return len(SUMMARIES)

    def __contains__(self, name: object) -> bool:
        return name in SUMMARIES


class Root(TyperGroup):
    """The command line without a command. Its help imports no command."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": Commands()})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the command and its arguments.

        Args:
            ctx: The context of the call, from Click.
            args: The command line, split into words.

        Raises:
            BadParameter: The words set ``--routing learned``, which earlier versions had.
        """
        # Before Click's own check, which would only list the values, or say that a command has no such flag.
        if "--routing=learned" in args or ("--routing", "learned") in pairwise(args):
            raise typer.BadParameter(
                "nothing is learned from live requests any more. Run `webinfer tune MODEL` once: then the platform "
                "auto takes its winner.",
                param_hint="--routing",
            )
        return super().parse_args(ctx, args)

    def list_commands(self, _ctx: Any) -> list[str]:
        """Return the names, in the order of the help.

        Args:
            _ctx: The context of the call, from Click.
        """
        return list(self.commands)

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        """Write the names and summaries of the commands into the help.

        Args:
            _ctx: The context of the call, from Click.
            formatter: The writer of the help.
        """
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


def _nothing() -> None:
    """Do nothing."""
