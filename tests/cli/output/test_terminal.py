from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
import logging
import warnings

import pytest
import typer

from webinfer.cli.output.terminal import Terminal, block, console
from webinfer.core.errors import BrowserNotFound, OptionError, RunFailed, WebinferError


def leave(terminal: Terminal, error: BaseException) -> int:
    """Return the exit code with which an error leaves a command."""
    with pytest.raises(typer.Exit) as left, terminal.guard():
        raise error
    return left.value.exit_code


def test_call_that_an_interrupt_cut_off_on_its_way_is_no_news() -> None:
    def cut_off() -> None:
        work = asyncio.sleep(0)  # made, and never sent
        raise KeyboardInterrupt(type(work).__name__)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with contextlib.suppress(typer.Exit), Terminal().guard():
            cut_off()
        gc.collect()
    assert not told


@pytest.mark.parametrize(
    ("error", "code"), [(BrowserNotFound("None."), 1), (OptionError("No."), 2), (KeyboardInterrupt(), 130)]
)
def test_error_decides_the_exit_code(error: BaseException, code: int) -> None:
    assert leave(Terminal(), error) == code


def test_error_is_one_block_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    leave(Terminal(), BrowserNotFound("No browser. Install one."))
    assert tuple(capsys.readouterr()) == ("", "error: browser.not_found\n  No browser. Install one.\n")


def test_error_is_an_object_on_stdout_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    leave(Terminal(json=True), BrowserNotFound("No browser.", browsers=["edge"]))
    out, err = capsys.readouterr()
    assert json.loads(out)["error"] == {
        "code": "browser.not_found",
        "message": "No browser.",
        "retryable": False,
        "data": {"browsers": ["edge"]},
    }
    assert err == ""


def test_long_error_is_wrapped_without_breaking_words() -> None:
    path = "/a/very/long/path" * 12
    lines = str(
        block(RunFailed(f"Something is the matter with {path}: look there, {'and there, ' * 20}"), 80)
    ).splitlines()
    assert any(path in line for line in lines)
    assert all(len(line) <= 80 for line in lines if path not in line)


def test_error_with_brackets_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    leave(Terminal(), RunFailed("Shape [1, 4] is not [bold]."))
    assert "Shape [1, 4] is not [bold]." in capsys.readouterr().err


@pytest.mark.parametrize(("verbosity", "stack", "trace"), [(0, False, False), (1, True, False), (2, True, True)])
def test_verbosity_adds_the_pages_stack_then_the_traceback(
    verbosity: int, stack: bool, trace: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(Terminal(verbosity=verbosity), RunFailed("It failed.", stack="at lane.js:1"))
    err = capsys.readouterr().err
    assert ("at lane.js:1" in err, "Traceback" in err) == (stack, trace)


def test_interrupt_prints_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    leave(Terminal(), KeyboardInterrupt())
    assert tuple(capsys.readouterr()) == ("", "Interrupted; nothing is left running.\n")


@pytest.mark.parametrize(
    ("log_json", "line"),
    [(False, "Interrupted; nothing is left running. 1 of 3 is done.\n"), (True, '"interrupted: 1 of 3 is done."')],
)
def test_interrupt_says_what_else_there_is_to_say(
    log_json: bool, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(Terminal(log_json=log_json), KeyboardInterrupt("1 of 3 is done."))
    assert line in capsys.readouterr().err


def test_errors_of_others_are_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError), Terminal().guard():
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("quiet", "verbosity", "levels"),
    [(True, 0, "E"), (False, 0, "WE"), (False, 1, "IWE"), (False, 2, "DIWE"), (False, 5, "DIWE")],
)
def test_verbosity_sets_what_is_logged(
    quiet: bool, verbosity: int, levels: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("webinfer.test")
    with Terminal(quiet=quiet, verbosity=verbosity).guard():
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logger.log(level, "something happened")
    err = capsys.readouterr().err
    assert "".join(name[0] for name in ("DEBUG", "INFO", "WARNING", "ERROR") if name in err) == levels


def test_logging_is_as_before_afterwards() -> None:
    logger = logging.getLogger("webinfer")
    before = logger.level, list(logger.handlers)
    with Terminal(verbosity=2).guard():
        pass
    assert (logger.level, logger.handlers) == before


def test_piped_output_has_no_control_codes_and_no_trailing_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().show("[title]Heading[/]   ", "[bad]red[/]")
    assert capsys.readouterr().out == "Heading\nred\n"


@pytest.mark.parametrize(("columns", "width"), [(None, 100), ("72", 72), ("", 100)])
def test_width_of_a_pipe_is_fixed_unless_columns_says_otherwise(
    columns: str | None, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False) if columns is None else monkeypatch.setenv("COLUMNS", columns)
    assert console(io.StringIO()).width == width


def test_every_error_of_ours_says_its_code() -> None:
    assert str(block(WebinferError(), 80)) == "error: webinfer\n  webinfer"
