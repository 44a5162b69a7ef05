"""The guide's two scripts, by their own names and flags, over ``webinfer bench``.

``benchmark_webnn_webgpu_resource_pool.py`` and ``test_ipfs_accelerate_with_real_webnn_webgpu.py`` at the root of the
repository, and the console scripts of these names, end here. Where what the guide wishes cannot be had, such as Edge,
the next that can takes its place, as in its own calls, and that is said.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer

from webinfer.api.services.browsers import STANDINS, find_all, places
from webinfer.api.services.models import listed, precision_of, resolve
from webinfer.bench import Ask, Method, Record, everything, exit_code
from webinfer.bench.run import FAILED, unfinished
from webinfer.cli.commands.benchmarks.bench import measured
from webinfer.cli.output.terminal import USAGE, Terminal
from webinfer.cli.views.bench import view
from webinfer.core.errors import ModelNotFound
from webinfer.core.options import BACKENDS

MODELS = ("bert-base-uncased", "whisper-tiny", "vit-base")
"""Those that the guide's command lines name, for ``--comprehensive`` without a model."""
SHORT = Method(launches=1, least=5, most=20, patience=30.0, sequence=16)
_ANY = "auto"


class Parser(argparse.ArgumentParser):
    """A parser whose errors exit with 1: 2 says that only software computed."""

    def error(self, message: str) -> NoReturn:
        """Print the error, and exit."""
        self.print_usage(sys.stderr)
        self.exit(FAILED, f"{self.prog}: error: {message}\n")


def benchmark_resource_pool(arguments: Sequence[str] | None = None) -> NoReturn:
    """Measure models, one after the other and at the same time."""
    made = parser("benchmark_webnn_webgpu_resource_pool.py", str(benchmark_resource_pool.__doc__))
    made.add_argument("--models", metavar="A,B", help="several models, with commas")
    made.add_argument(
        "--concurrent-models", type=_above_0, default=1, metavar="N", help="models to run at once besides"
    )
    made.add_argument(
        "--max-connections", type=_above_0, default=1, metavar="N", help="lanes of each model, measured to"
    )
    sys.exit(run(made.parse_args(arguments)))


def run_acceleration_test(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run models, hold their answers against native onnxruntime, and say what hardware computed them."""
    made = parser("test_ipfs_accelerate_with_real_webnn_webgpu.py", str(run_acceleration_test.__doc__))
    sys.exit(run(made.parse_args(arguments)))


def parser(name: str, description: str) -> Parser:
    """Return a parser with the flags that both scripts have."""
    made = Parser(
        prog=name, description=description, epilog="Exit: 0 hardware, 2 software only, 1 error, 130 interrupt."
    )
    made.add_argument("--model", help="name of a model")
    made.add_argument("--platform", choices=("webnn", "webgpu", "all"), help="default: webgpu")
    made.add_argument("--browser", choices=("chrome", "firefox", "edge", "safari"), help="default: the first one found")
    made.add_argument("--precision", type=int, choices=(2, 4, 8, 16, 32), help="bits of the weights")
    made.add_argument("--mixed-precision", action="store_true", help="more bits where a layer loses most")
    made.add_argument("--optimize-audio", action="store_true", help="features of recordings by a shader, on WebGPU")
    made.add_argument("--comprehensive", action="store_true", help="every browser and backend")
    made.add_argument("--visible", action="store_true", help="show the browsers' windows")
    made.add_argument("--db-path", type=Path, metavar="FILE", help="database to write to")
    made.add_argument("--resume", action="store_true", help="take up the latest one of the same that was interrupted")
    made.add_argument("--verbose", action="store_true", help="log the life cycle")
    return made


def run(given: argparse.Namespace) -> int:
    """Measure what was asked for, and return the exit code."""
    terminal = Terminal(verbosity=int(given.verbose))
    try:
        with terminal.guard():
            record = _measured(terminal, given)
            terminal.show(view(record))
            return exit_code(record)
    except typer.Exit as ended:
        return FAILED if ended.exit_code == USAGE else ended.exit_code  # which would say that only software computed


def asked(given: argparse.Namespace) -> tuple[Ask, list[str]]:
    """Put together what is asked for, and what is done differently.

    Raises:
        ModelNotFound: There is no such model, nor one that could stand in.
        OptionError: The precision cannot be.
    """
    notes: list[str] = []
    said = [given.model, *(getattr(given, "models", None) or "").split(",")]
    names = [name for name in said if name] or list(MODELS if given.comprehensive else MODELS[:1])
    models = tuple(dict.fromkeys(_model(name.strip(), notes) for name in names))
    wanted = {"bits": given.precision or (4 if given.mixed_precision else 16), "mixed_precision": given.mixed_precision}
    precision = "fp16" if given.precision == 16 and not given.mixed_precision else precision_of(wanted)
    platforms: tuple[str, ...] = ("webnn", "webgpu") if given.platform == "all" else (given.platform or "webgpu",)
    browsers: tuple[str, ...] = (_browser(given.browser, notes),)
    if given.comprehensive:
        platforms = platforms if given.platform else BACKENDS
        browsers = browsers if given.browser else everything(models).browsers
    lanes = getattr(given, "max_connections", 1)
    if given.optimize_audio:
        notes.append(
            "--optimize-audio gives models that hear log-mel features a recording, of which a shader makes them on "
            "WebGPU; times are the model's own, and python -m benchmarks.audio times the shader"
        )
    ask = Ask(
        models=models,
        browsers=browsers,
        platforms=platforms,
        precisions=(precision or "full",),
        concurrency=tuple(sorted({1, lanes})),
    )
    return ask, notes


def _measured(terminal: Terminal, given: argparse.Namespace) -> Record:
    ask, notes = asked(given)
    how: dict[str, Any] = {
        "db_path": str(given.db_path) if given.db_path else None,
        "at_once": getattr(given, "concurrent_models", 1),
        "options": {"headless": not given.visible, "audio_shaders": given.optimize_audio},
        "resume": given.resume,
    }
    instead = Ask(models=ask.models, browsers=ask.browsers, platforms=(_ANY,), precisions=ask.precisions)
    if given.resume and unfinished(instead, SHORT, how["options"]):  # it was found out then that no other can run here
        return measured(terminal, instead, SHORT, **how)
    record = measured(terminal, ask, SHORT, note="; ".join(notes) or None, **how)
    if any(cell.code != "backend.unavailable" for cell in record.cells) or given.comprehensive:
        return record
    notes.append(f"{ask.platforms[0]} cannot run here ({record.cells[0].why}), so the browser's own choice was taken")
    return measured(terminal, instead, SHORT, note="; ".join(notes), **how)


def _model(name: str, notes: list[str]) -> str:
    """Return the reference of a model of the guide: the name, or where no hub has it the architecture."""
    try:
        resolve(name)
    except ModelNotFound:
        standin = next((each for each in sorted(listed()) if each.startswith(f"random:{name}")), None)
        if standin is None:
            raise
        notes.append(f"{name} is not to be had here, so {standin} was taken: the same architecture with random weights")
        return standin
    return name


def _browser(name: str | None, notes: list[str]) -> str:
    """Return the browser that a name of the guide means here."""
    found = [installation.name for installation in find_all()]
    if name is None or name in found or not found:
        return name or _ANY
    instead = next((each for each in STANDINS.get(name, ()) if each in found), found[0])
    looked = ", ".join(places(name)) or "nowhere on this platform"  # type: ignore[arg-type]  # one of its names
    notes.append(f"{name} is not installed (looked for {looked}), so {instead} was taken")
    return instead


def _above_0(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value
