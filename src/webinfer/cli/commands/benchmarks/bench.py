"""``webinfer bench``: measure models in browsers, against native onnxruntime, with stated confidence."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from webinfer.bench import Matrix, Method, Record, benchmark, exit_code, full_matrix
from webinfer.bench.report.junit import record_junit
from webinfer.bench.report.markdown import record_markdown
from webinfer.bench.report.summary import append_summary
from webinfer.cli.command import command, split
from webinfer.cli.completion import model_names
from webinfer.cli.files.outputs import writable
from webinfer.cli.output.terminal import Terminal
from webinfer.cli.views.bench import BenchmarkProgress, view
from webinfer.core.errors import BenchmarkError, OptionError

_EXAMPLES = """
webinfer bench --model wheel:all-MiniLM-L6-v2 --platform wasm,webnn
webinfer bench --model random:bert-tiny --lanes 1,2,4 --db-path results.duckdb
webinfer bench --comprehensive --models random:bert-tiny --quick
webinfer bench --model model.onnx --output now.json --junit bench.xml --github-summary
"""
_QUICK: dict[str, Any] = {"launches": 1, "least": 6, "most": 6, "turn": 0.1, "patience": 10.0}


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: The command line.
    """
    command(app, "bench", examples=_EXAMPLES)(bench)


def bench(
    terminal: Terminal,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "--models",
            "-m",
            metavar="MODEL,...",
            autocompletion=model_names,
            help="Models to measure.",
            show_default=False,
        ),
    ] = None,
    platforms: Annotated[
        list[str] | None,
        typer.Option("--platform", "-p", metavar="NAME,...", help="webgpu, webnn, wasm or all.", show_default="auto"),
    ] = None,
    browsers: Annotated[
        list[str] | None,
        typer.Option("--browser", "-b", metavar="NAME,...", help="Browsers, or all.", show_default="auto"),
    ] = None,
    precisions: Annotated[
        list[str] | None,
        typer.Option("--precision", metavar="NAME,...", help="full, fp16, q8, q4 or others.", show_default="full"),
    ] = None,
    concurrency: Annotated[
        list[str] | None,
        typer.Option(
            "--lanes",
            "--concurrency",
            metavar="N,...",
            help="Requests at once, each on a lane of its own; from three numbers on, says what limits them.",
            show_default="1",
        ),
    ] = None,
    comprehensive: Annotated[
        bool,
        typer.Option(
            "--comprehensive",
            help="Every browser, backend and precision, for the named models or all that are ready.",
        ),
    ] = False,
    db_path: Annotated[Path | None, typer.Option(metavar="FILE", help="Database to write to.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", callback=writable, help="Write everything to a JSON file."),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", callback=writable, help="Write a report in Markdown.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", callback=writable, help="Write JUnit's XML.")] = None,
    github_summary: Annotated[
        bool, typer.Option("--github-summary", help="Add the report to the summary of a GitHub Actions step.")
    ] = False,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals.")] = Method().confidence,
    margin: Annotated[
        float,
        typer.Option(
            min=0.001, max=1.0, help="Half-width of an interval that is narrow enough; wider ones get a star."
        ),
    ] = Method().margin,
    launches: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Launches of each browser.", show_default="3")
    ] = None,
    patience: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Time for each configuration.", show_default="45")
    ] = None,
    sequence: Annotated[int, typer.Option(min=2, help="Length of texts, in tokens.")] = Method().sequence,
    quick: Annotated[bool, typer.Option("--quick", help="One launch, few rounds: to see that it works.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take up the latest one of the same that was not finished.")
    ] = False,
) -> None:
    """Measure models in browsers, beside native onnxruntime.

    docs/explanation/benchmarks.md explains the method. The exit code is 0 if real hardware computed, and 2 if only
    software did or the command line was wrong. It is 1 if an answer was wrong or missing.

    Raises:
        Exit: The benchmark is over; with the exit code.
    """
    settings = {"confidence": confidence, "margin": margin, "sequence": sequence, **(_QUICK if quick else {})}
    settings |= {name: value for name, value in (("launches", launches), ("patience", patience)) if value is not None}
    matrix = matrix_of(models, platforms, browsers, precisions, concurrency, comprehensive)
    record = measure(terminal, matrix, Method(**settings), resume=resume, db_path=str(db_path) if db_path else None)
    write_files(record, output, markdown, junit, github_summary)
    if terminal.json:
        terminal.emit(record.to_dict())
    else:
        terminal.show(view(record))
    raise typer.Exit(exit_code(record))


def matrix_of(
    models: list[str] | None,
    platforms: list[str] | None,
    browsers: list[str] | None,
    precisions: list[str] | None,
    concurrency: list[str] | None,
    comprehensive: bool,
) -> Matrix:
    """Return the matrix of configurations that the flags name.

    Args:
        models: Models.
        platforms: Backends, or ``all``.
        browsers: Browsers, or ``all``.
        precisions: Precisions.
        concurrency: Numbers of requests at once.
        comprehensive: Take every value of what is not named.

    Raises:
        OptionError: A value is not valid.
    """
    lanes = tuple(_lanes(number) for number in split(concurrency)) or (1,)
    whole = full_matrix(split(models), lanes) if comprehensive else None
    return Matrix(
        models=whole.models if whole else split(models),
        browsers=_all(split(browsers), "all", full_matrix(("any",)).browsers)
        or (whole.browsers if whole else ("auto",)),
        platforms=_all(split(platforms), "all", full_matrix(("any",)).platforms)
        or (whole.platforms if whole else ("auto",)),
        precisions=split(precisions) or (whole.precisions if whole else ("full",)),
        concurrency=lanes,
    )


def measure(terminal: Terminal, matrix: Matrix, method: Method, **more: Any) -> Record:
    """Return the record of a benchmark, run while its progress is shown.

    Args:
        terminal: Where to show it.
        matrix: What to measure.
        method: How to measure.
        more: As ``benchmark`` takes it.

    Raises:
        KeyboardInterrupt: It was interrupted; its arguments say how to continue.
    """
    progress = BenchmarkProgress(terminal)
    try:
        with progress:
            return asyncio.run(benchmark(matrix, method, progress, **more))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(*progress.left) from None


def write_files(
    record: Record, output: Path | None, markdown: Path | None, junit: Path | None, github_summary: bool
) -> None:
    """Write the files that the flags name.

    Args:
        record: The benchmark.
        output: File for JSON.
        markdown: File for Markdown.
        junit: File for JUnit's XML.
        github_summary: Add the report to GitHub's summary.

    Raises:
        BenchmarkError: One cannot be written.
    """
    if output is not None:
        write(output, json.dumps(record.to_dict(), indent=1))
    if markdown is not None:
        write(markdown, record_markdown(record))
    if junit is not None:
        write(junit, record_junit(record))
    if github_summary:
        append_summary(record_markdown(record))


def write(path: Path, text: str) -> None:
    """Write a file.

    Args:
        path: The file.
        text: Its contents.

    Raises:
        BenchmarkError: It cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be written: {error}.") from error


def _all(values: tuple[str, ...], word: str, choices: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(choice for value in values for choice in (choices if value == word else (value,))))


def _lanes(text: str) -> int:
    if not text.isdecimal():
        raise OptionError(f"--lanes takes whole numbers, not {text!r}.", option="lanes")
    return int(text)
