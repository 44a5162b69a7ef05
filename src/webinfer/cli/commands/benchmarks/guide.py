"""The guide's two scripts, by their own names and flags, over ``webinfer bench``.

``benchmark_webnn_webgpu_resource_pool.py`` and ``test_ipfs_accelerate_with_real_webnn_webgpu.py`` at the root of the
repository, and the console scripts of these names, call this module. If something that the guide uses is missing, such
as Edge, a substitute takes its place, and the output says so.
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
from webinfer.bench import Matrix, Method, Record, exit_code, full_matrix
from webinfer.bench.run import FAILED, find_unfinished
from webinfer.cli.commands.benchmarks.bench import measure
from webinfer.cli.output.terminal import USAGE, Terminal
from webinfer.cli.views.bench import view
from webinfer.core.errors import ModelNotFound
from webinfer.core.options import BACKENDS

MODELS = ("bert-base-uncased", "whisper-tiny", "vit-base")
"""The models of the guide's command lines, for ``--comprehensive`` without a model."""
SHORT = Method(launches=1, least=5, most=20, patience=30.0, sequence=16)
_ANY = "auto"


class Parser(argparse.ArgumentParser):
    """A parser whose errors exit with 1, because 2 means that only software computed."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit.

        Args:
            message: What is wrong.
        """
        self.print_usage(sys.stderr)
        self.exit(FAILED, f"{self.prog}: error: {message}\n")


def benchmark_resource_pool(arguments: Sequence[str] | None = None) -> NoReturn:
    """Measure models, one by one and at the same time.

    Args:
        arguments: Command line; ``None`` takes this process's.
    """
    flags = _parser("benchmark_webnn_webgpu_resource_pool.py", str(benchmark_resource_pool.__doc__))
    flags.add_argument("--models", metavar="A,B", help="several models, with commas")
    flags.add_argument(
        "--concurrent-models", type=_above_0, default=1, metavar="N", help="models to run at once besides"
    )
    flags.add_argument(
        "--max-connections", type=_above_0, default=1, metavar="N", help="lanes of each model, measured to"
    )
    sys.exit(run(flags.parse_args(arguments)))


def run_acceleration_test(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run models, compare their answers with native onnxruntime's, and say which hardware computed them.

    Args:
        arguments: Command line; ``None`` takes this process's.
    """
    flags = _parser("test_ipfs_accelerate_with_real_webnn_webgpu.py", str(run_acceleration_test.__doc__))
    sys.exit(run(flags.parse_args(arguments)))


def _parser(name: str, description: str) -> Parser:
    """Return a parser with the flags that both scripts have."""
    flags = Parser(
        prog=name, description=description, epilog="Exit: 0 hardware, 2 software only, 1 error, 130 interrupt."
    )
    flags.add_argument("--model", help="name of a model")
    flags.add_argument("--platform", choices=("webnn", "webgpu", "all"), help="default: webgpu")
    flags.add_argument(
        "--browser", choices=("chrome", "firefox", "edge", "safari"), help="default: the first one found"
    )
    flags.add_argument("--precision", type=int, choices=(2, 4, 8, 16, 32), help="bits of the weights")
    flags.add_argument("--mixed-precision", action="store_true", help="more bits where a layer loses most")
    flags.add_argument("--optimize-audio", action="store_true", help="features of recordings by a shader, on WebGPU")
    flags.add_argument("--comprehensive", action="store_true", help="every browser and backend")
    flags.add_argument("--visible", action="store_true", help="show the browsers' windows")
    flags.add_argument("--db-path", type=Path, metavar="FILE", help="database to write to")
    flags.add_argument("--resume", action="store_true", help="take up the latest one of the same that was interrupted")
    flags.add_argument("--verbose", action="store_true", help="log the life cycle")
    return flags


def run(arguments: argparse.Namespace) -> int:
    """Return the exit code of a command line, after its benchmark.

    Args:
        arguments: The parsed command line.
    """
    terminal = Terminal(verbosity=int(arguments.verbose))
    try:
        with terminal.guard():
            record = _measure_or_substitute(terminal, arguments)
            terminal.show(view(record))
            return exit_code(record)
    except typer.Exit as ended:
        return FAILED if ended.exit_code == USAGE else ended.exit_code  # 2 would mean that only software computed


def matrix_of(arguments: argparse.Namespace) -> tuple[Matrix, list[str]]:
    """Make the matrix of configurations from a command line.

    Args:
        arguments: The parsed command line.

    Returns:
        The matrix, and notes on what differs from the command line.

    Raises:
        ModelNotFound: There is no such model, and no substitute.
        OptionError: The precision is not valid.
    """
    notes: list[str] = []
    names = [arguments.model, *(getattr(arguments, "models", None) or "").split(",")]
    chosen = [name for name in names if name] or list(MODELS if arguments.comprehensive else MODELS[:1])
    models = tuple(dict.fromkeys(_model(name.strip(), notes) for name in chosen))
    quantization = {
        "bits": arguments.precision or (4 if arguments.mixed_precision else 16),
        "mixed_precision": arguments.mixed_precision,
    }
    precision = "fp16" if arguments.precision == 16 and not arguments.mixed_precision else precision_of(quantization)
    platforms: tuple[str, ...] = (
        ("webnn", "webgpu") if arguments.platform == "all" else (arguments.platform or "webgpu",)
    )
    browsers: tuple[str, ...] = (_browser(arguments.browser, notes),)
    if arguments.comprehensive:
        platforms = platforms if arguments.platform else BACKENDS
        browsers = browsers if arguments.browser else full_matrix(models).browsers
    lanes = getattr(arguments, "max_connections", 1)
    if arguments.optimize_audio:
        notes.append(
            "--optimize-audio: a shader computes log-mel features from recordings on WebGPU; the times here are the "
            "model's own, and python -m benchmarks.audio times the shader"
        )
    matrix = Matrix(
        models=models,
        browsers=browsers,
        platforms=platforms,
        precisions=(precision or "full",),
        concurrency=tuple(sorted({1, lanes})),
    )
    return matrix, notes


def _measure_or_substitute(terminal: Terminal, arguments: argparse.Namespace) -> Record:
    matrix, notes = matrix_of(arguments)
    settings: dict[str, Any] = {
        "db_path": str(arguments.db_path) if arguments.db_path else None,
        "at_once": getattr(arguments, "concurrent_models", 1),
        "options": {"headless": not arguments.visible, "audio_shaders": arguments.optimize_audio},
        "resume": arguments.resume,
    }
    substitute = Matrix(models=matrix.models, browsers=matrix.browsers, platforms=(_ANY,), precisions=matrix.precisions)
    # The interrupted benchmark may have taken the substitute. Then only the substitute's record can be continued.
    if arguments.resume and find_unfinished(substitute, SHORT, settings["options"]):
        return measure(terminal, substitute, SHORT, **settings)
    record = measure(terminal, matrix, SHORT, note="; ".join(notes) or None, **settings)
    if any(cell.code != "backend.unavailable" for cell in record.cells) or arguments.comprehensive:
        return record
    notes.append(
        f"{matrix.platforms[0]} cannot run here ({record.cells[0].why}), so the browser's own choice was taken"
    )
    return measure(terminal, substitute, SHORT, note="; ".join(notes), **settings)


def _model(name: str, notes: list[str]) -> str:
    """Return the reference of a model of the guide, or of a model with the same architecture and random weights.

    Raises:
        ModelNotFound: There is neither.
    """
    try:
        resolve(name)
    except ModelNotFound:
        substitute = next((reference for reference in sorted(listed()) if reference.startswith(f"random:{name}")), None)
        if substitute is None:
            raise
        notes.append(
            f"{name} is not available here, so {substitute} was taken: the same architecture with random weights"
        )
        return substitute
    return name


def _browser(name: str | None, notes: list[str]) -> str:
    """Return the browser to use for a name of the guide."""
    installed = [installation.name for installation in find_all()]
    if name is None or name in installed or not installed:
        return name or _ANY
    substitute = next((browser for browser in STANDINS.get(name, ()) if browser in installed), installed[0])
    looked = ", ".join(places(name)) or "nowhere on this platform"  # type: ignore[arg-type]  # one of its names
    notes.append(f"{name} is not installed (looked for {looked}), so {substitute} was taken")
    return substitute


def _above_0(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value
