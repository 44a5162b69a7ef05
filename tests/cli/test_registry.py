from __future__ import annotations

import subprocess
import sys

import pytest
from typer.main import get_command

import webinfer
from tests.cli.conftest import Call
from webinfer.cli import app
from webinfer.cli.output.terminal import FAILED, FINE, INTERRUPTED, USAGE
from webinfer.cli.registry import SUMMARIES
from webinfer.core.options import describe

COMMANDS = [
    *(
        "demo",
        "doctor",
        "explain",
        "run",
        "bench",
        "tune",
        "compare",
        "history",
        "top",
        "install",
        "pull",
        "quantize",
        "report",
    ),
    "models",
]
IPFS = ["add", "get", "cat", "ls", "verify", "export", "import", "serve"]
COMMON = ["--json", "--quiet", "--verbose", "--log-json", "--help"]


def test_root_help_names_commands_and_exit_codes(call: Call) -> None:
    answer = call("--help")
    assert answer.code == FINE
    assert all(f"  {command} " in answer.out for command in [*COMMANDS, "ipfs"])
    assert all(f"    {code} " in answer.out for code in (FINE, FAILED, USAGE, INTERRUPTED))


@pytest.mark.parametrize("group", [(), ("ipfs",), ("db",)])
def test_no_short_help_of_a_command_is_cut_off(call: Call, group: tuple[str, ...]) -> None:
    assert "..." not in call(*group, "--help").out.split("Commands:")[1]


def test_help_of_a_group_names_its_commands(call: Call) -> None:
    listed = call("ipfs", "--help").out.split("Commands:")[1]
    assert [line.split()[0] for line in listed.splitlines() if line.strip()] == IPFS


@pytest.mark.parametrize("command", [*COMMANDS, *(f"ipfs {name}" for name in IPFS)])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_of_a_command_shows_examples_and_common_flags(call: Call, command: str, flag: str) -> None:
    answer = call(*command.split(), flag)
    assert answer.code == FINE
    assert f"    webinfer {command}" in answer.out.split("Examples:")[1]
    assert all(common in answer.out for common in COMMON)


@pytest.mark.parametrize("command", ["demo", "run"])
def test_help_of_a_flag_is_that_of_its_option(call: Call, command: str) -> None:
    text = " ".join(call(command, "--help").out.split())
    helps = {option.name: " ".join(said.split()) for option, said in describe()}
    assert all(helps[name] in text for name in ("browser", "executable", "platform", "threads"))


def test_summary_of_each_command_is_that_of_its_help() -> None:
    made = get_command(app).commands  # type: ignore[attr-defined]  # the root is a group
    assert {name: command.get_short_help_str(120) for name, command in made.items()} == SUMMARIES


def test_help_and_version_import_none_of_the_libraries_that_commands_need() -> None:
    heavy = ("aiohttp", "asyncio", "duckdb", "numpy", "onnx", "tokenizers")
    script = (
        "import contextlib, sys; from webinfer.cli import app\n"
        "for flag in ('--help', '--version'):\n"
        "    with contextlib.suppress(SystemExit): app([flag], prog_name='webinfer')\n"
        f"print('imported', *sorted(set({heavy}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported"


def test_mistyped_command_is_told_the_near_one(call: Call) -> None:
    answer = call("benhc")
    assert answer.code == USAGE
    assert "Did you mean 'bench'?" in answer.err


def test_version_is_the_packages(call: Call) -> None:
    assert call("--version").out == f"webinfer {webinfer.__version__}\n"


def test_without_arguments_help_is_shown(call: Call) -> None:
    answer = call()
    assert answer.code == USAGE
    assert "webinfer demo" in answer.err


@pytest.mark.parametrize(
    "arguments", [("demmo",), ("demo", "--platfrom", "wasm"), ("demo", "--platform", "cuda"), ("run",)]
)
def test_wrong_command_line_exits_with_2_and_prints_nothing_to_stdout(call: Call, arguments: tuple[str, ...]) -> None:
    answer = call(*arguments)
    assert (answer.code, answer.out) == (USAGE, "")
    assert "Error: " in answer.err


@pytest.mark.parametrize("arguments", [("bench", "--routing", "learned"), ("explain", "x", "--routing=learned")])
def test_routing_that_learns_is_refused_with_the_way_to_tune(call: Call, arguments: tuple[str, ...]) -> None:
    answer = call(*arguments)
    assert (answer.code, answer.out) == (USAGE, "")
    assert "webinfer tune" in answer.err


def test_option_that_cannot_be_exits_with_2(call: Call) -> None:
    answer = call("demo", "--threads", "0")
    assert answer.code == USAGE
    assert answer.err.startswith("error: option\n  threads must be above 0")


def test_completion_script_can_be_shown(spawn: Call) -> None:
    answer = spawn(_WEBINFER_COMPLETE="source_bash")
    assert answer.code == FINE
    assert "_webinfer_completion" in answer.out
