"""The guide's code blocks run as they are written, and the page of its claims names only what is there."""

from __future__ import annotations

import ast
import gc
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command

import webinfer.errors
from scripts.docs import helps
from tests.compat.models import BERT, VIT, build
from webinfer import compat, logs
from webinfer.cli import app
from webinfer.cli.commands.benchmarks import guide
from webinfer.compat import create_ipfs_web_accelerator
from webinfer.compat.keywords import read
from webinfer.core.errors import BrowserNotFound, OptionError
from webinfer.core.options import Options
from webinfer.models.files.variants import PRECISIONS
from webinfer.telemetry.database.connection import connect

BLOCKS = Path(__file__).parent.parent / "fixtures" / "guide"
ACCELERATOR = """
from fixed_web_platform.resource_pool_integration import create_ipfs_web_accelerator
accelerator = create_ipfs_web_accelerator()
"""
INTEGRATION = """
from resource_pool import get_global_resource_pool
integration = get_global_resource_pool().get_resource("ipfs_web_integration")
"""
INPUTS = """
def tokens(*ids):
    return {"input_ids": list(ids), "attention_mask": [1] * len(ids)}
input1, input2, input3, input4 = tokens(101, 102), tokens(101, 2023, 102), tokens(101, 2003, 102), tokens(101, 102)
"""
PICTURE = """
import numpy as np
bert_input1 = tokens(101, 2023, 102) | {"pixel_values": np.ones((3, 224, 224), np.float32)}
bert_input2 = tokens(101, 102)
"""  # the first item carries the picture for vit_model, which the block names alone
TELL = """
import json
print(json.dumps(%s))
accelerator.close()
"""

# Keywords that the guide shows with what they are anyway.
DEFAULTS = {"max_connections=2", "retry_attempts=2", "enable_progressive_backoff=True"}

# Block: what the guide leaves undefined before it, and what to look at after it.
WORKS: dict[str, tuple[str, str]] = {
    "basic_usage": ("", ""),
    "connection_pooling": (
        "from fixed_web_platform.resource_pool_integration import create_ipfs_web_accelerator",
        TELL % "accelerator.integration.get_metrics()",
    ),
    "concurrent_model_execution": (ACCELERATOR + INPUTS + PICTURE, TELL % "[result.to_dict() for result in results]"),
    "batch_processing": (ACCELERATOR + INPUTS, TELL % "[result.to_dict() for result in results]"),
    "database_integration": (
        "from fixed_web_platform.resource_pool_integration import create_ipfs_web_accelerator\n"
        + INPUTS
        + "inputs, batch_inputs = input1, [input2, input3]",
        "accelerator.close()",
    ),
    "performance_reporting": (
        ACCELERATOR + INPUTS + f"accelerator.run_inference({BERT!r}, input1)",
        "accelerator.close()",
    ),
    "resource_monitoring": (
        ACCELERATOR + INPUTS + f"accelerator.run_inference({BERT!r}, input1)",
        "accelerator.close()",
    ),
    "resource_pool_integration": (
        "",
        INPUTS + "import json; print(json.dumps(integration.run_inference(model, input1).to_dict()))",
    ),
    "quantization_support": (
        ACCELERATOR + INPUTS,
        TELL % "accelerator.run_inference('bert-base-uncased', input2).to_dict() | model.model.package.quantized",
    ),
    "websocket_communication_issues": (INTEGRATION, "print(integration)"),
    "memory_related_issues": (INTEGRATION, "print(integration._accelerator.options.memory_limits)"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("models"))


def run(script: Path, models: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=models,
        env={**os.environ, "WEBINFER_MODELS": str(models)},
        capture_output=True,
        text=True,
        check=False,
    )
    if BrowserNotFound.__name__ in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    return done


def output_of(name: str, models: Path, tmp_path: Path) -> str:
    """Run a block between its prelude and its coda, and return what it printed."""
    prelude, coda = WORKS[name]
    script = tmp_path / f"{name}.py"
    script.write_text("\n".join((prelude, (BLOCKS / f"{name}.py").read_text(encoding="utf-8"), coda)), encoding="utf-8")
    done = run(script, models)
    assert done.returncode == 0, done.stderr
    return done.stdout


def figure(label: str, output: str) -> float:
    found = re.search(rf"^{label}: ([\d.]+)", output, re.MULTILINE)
    assert found, output
    return float(found[1])


def last_json(output: str) -> Any:
    return json.loads(output.splitlines()[-1])


def test_every_block_runs() -> None:
    assert {path.stem for path in BLOCKS.glob("*.py")} == {*WORKS}


@pytest.mark.browser("embedded")
def test_basic_usage_runs_as_a_script(models: Path) -> None:
    done = run(BLOCKS / "basic_usage.py", models)
    assert done.returncode == 0, done.stderr
    assert figure("Inference time", done.stdout) > 0
    assert figure("Throughput", done.stdout) > 0


@pytest.mark.browser("embedded")
def test_connection_pooling_shares_a_browser_between_two_models(models: Path, tmp_path: Path) -> None:
    stats = last_json(output_of("connection_pooling", models, tmp_path))["bridge"]["bridge_stats"]
    assert stats["loaded_models"] == [BERT, VIT]
    assert stats["created_connections"] == 1


@pytest.mark.browser("embedded")
def test_concurrent_model_execution_returns_everyones_results(models: Path, tmp_path: Path) -> None:
    results = last_json(output_of("concurrent_model_execution", models, tmp_path))
    assert [result["model_id"] for result in results] == [BERT, BERT, VIT]
    assert [len(result["output"].get("last_hidden_state", [[]])[0]) for result in results] == [3, 2, 0]
    assert len(results[2]["output"]["logits"][0]) == 10


@pytest.mark.browser("embedded")
def test_batch_processing_returns_every_result_in_order(models: Path, tmp_path: Path) -> None:
    results = last_json(output_of("batch_processing", models, tmp_path))
    assert [len(result["output"]["last_hidden_state"][0]) for result in results] == [2, 3, 3, 2]


@pytest.mark.browser("embedded")
def test_database_integration_leaves_a_row_for_each_request(models: Path, tmp_path: Path) -> None:
    database = models / "benchmark_db.duckdb"
    output_of("database_integration", models, tmp_path)
    connection = connect(database, read_only=True)
    found = connection.execute("SELECT model_name, is_simulation, latency_ms > 0 FROM webnn_webgpu_results").fetchall()
    connection.close()
    assert found == [(BERT, False, True)] * 3


@pytest.mark.browser("embedded")
def test_performance_reporting_writes_what_it_prints(models: Path, tmp_path: Path) -> None:
    printed = output_of("performance_reporting", models, tmp_path)
    written = (models / "performance_report.md").read_text(encoding="utf-8")
    assert "# webinfer performance report" in written
    assert f"| {BERT} |" in written
    assert written.strip() in printed


@pytest.mark.browser("embedded")
def test_resource_monitoring_prints_real_figures(models: Path, tmp_path: Path) -> None:
    output = output_of("resource_monitoring", models, tmp_path)
    for label in ("Average load time", "Average inference time", "Throughput"):
        assert figure(label, output) > 0
    assert "Platform distribution: {'webgpu': 1}" in output
    assert "'cached_models': ['bert-base-uncased']" in output


@pytest.mark.browser("embedded")
def test_resource_pool_hands_out_an_integration_that_runs(models: Path, tmp_path: Path) -> None:
    result = last_json(output_of("resource_pool_integration", models, tmp_path))
    assert result["success"]
    assert result["platform"] == "webgpu"


@pytest.mark.browser("embedded")
def test_quantization_support_gives_smaller_models_and_says_what_they_lose(models: Path, tmp_path: Path) -> None:
    told = last_json(output_of("quantization_support", models, tmp_path))
    assert told["precision"] == "q4-mixed"
    assert told["nbytes"] < told["nbytes_before"] / 4
    assert told["loss"]["cosine"] > 0.9
    assert len(told["output"]["last_hidden_state"][0]) == 3


def test_model_timeouts_are_taken_as_written(models: Path, tmp_path: Path) -> None:
    assert "IPFSAccelerateWebIntegration" in output_of("websocket_communication_issues", models, tmp_path)


def test_memory_limits_are_taken_as_written(models: Path, tmp_path: Path) -> None:
    assert "{'chrome': 2048, 'firefox': 1536, 'edge': 1024}" in output_of("memory_related_issues", models, tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "accelerator = create_ipfs_web_accelerator(websocket_port=9876)",
        "create_ipfs_web_accelerator(connection_retry_attempts=3)",
        "accelerator = create_ipfs_web_accelerator(headless=True)",
    ],
)
def test_lines_of_troubleshooting_are_taken_as_written(line: str) -> None:
    names: dict[str, Any] = {"create_ipfs_web_accelerator": create_ipfs_web_accelerator}
    exec(line, names)
    gc.collect()


@pytest.mark.parametrize(
    "keyword",
    [
        "max_connections=2",
        "retry_attempts=2",
        "timeout_multiplier=3",
        "enable_progressive_backoff=True",
        "enable_input_size_detection=True",
        "large_input_timeout_multiplier=3",
        "restart_on_memory_pressure=True",
        "enable_cross_browser_sharding=True",
    ],
)
def test_keywords_of_troubleshooting_are_taken_as_written(keyword: str) -> None:
    assert eval(f"read({keyword})", {"read": read}).options != read().options or keyword in DEFAULTS


ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "guide.md"
STATES = ("true", "partly", "missing")
NAMESPACES = (webinfer, compat, webinfer.errors, logs)
LAST_LINE = 487
CODE = re.compile(r"`([^`]+)`")
NUMBER = re.compile(r"(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?")
TEST_ID = re.compile(r"(tests/[\w/]+\.py)::(\w+)")


class Claim(NamedTuple):
    """One row of the page."""

    line: str
    claim: str
    state: str
    here: str
    see: str
    measured: str


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def claims() -> list[Claim]:
    """Return the page's rows about the guide."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| \d+ \| [“`]", line)]
    return [Claim(*cells(row)) for row in rows]


def name_of(claim: Claim) -> str:
    return f"line {claim.line} {claim.claim}"


@cache
def functions(path: Path) -> set[str]:
    """Return the names of the functions that a file defines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@cache
def texts(path: Path) -> set[str]:
    """Return the literal texts of a benchmark and of those that it imports, among them the flags that it takes."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    own = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    modules = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    imported = [ROOT / f"{module.replace('.', '/')}.py" for module in modules if module.startswith("benchmarks.")]
    return own.union(*map(texts, imported))


@cache
def commands() -> Mapping[str, str]:
    """Return the help of each command of ``webinfer``, by its path."""
    return dict(helps(get_command(app), "webinfer"))


def find(path: str) -> Any:
    """Return the public object of a dotted name; ``None`` if there is none."""
    first, *rest = path.removeprefix("webinfer.logs.").split(".")
    value = next((getattr(space, first) for space in NAMESPACES if hasattr(space, first)), None)
    for name in rest:
        members = getattr(value, "__annotations__", {})
        value = getattr(value, name, members.get(name)) if value is not None else None
    return value


def parameters(path: str) -> set[str]:
    return set(inspect.signature(find(path)).parameters) if callable(find(path)) else set()


def is_keyword(name: str, value: str) -> bool:
    """Return whether the guide's accelerator takes a keyword with this value."""
    try:
        read(**{name: ast.literal_eval(value)})
    except (OptionError, ValueError, SyntaxError):
        return False
    return True


def is_command(line: str) -> bool:
    """Return whether a command exists and has the flags that the line gives."""
    words = shlex.split(line)
    flags = {word for word in words if word.startswith("--")}
    if words[0] == "webinfer":
        name = next((path for path in (" ".join(words[:3]), " ".join(words[:2])) if path in commands()), None)
        return name is not None and all(re.search(rf"{flag}\b", commands()[name]) for flag in flags)
    script = (
        ROOT.joinpath(*words[2].split(".")).with_suffix(".py") if words[:2] == ["python", "-m"] else ROOT / words[0]
    )
    if not script.is_file():
        return False
    return flags <= texts(script if script.parent != ROOT else Path(guide.__file__))


def is_named_rightly(name: str) -> bool:
    """Return whether an option, function, keyword, precision or command of this name exists."""
    if " " in name or name.endswith(".py"):
        return is_command(name)
    if called := re.fullmatch(r"([\w.]+)\((\w+)=\)", name):
        return called[2] in parameters(called[1])
    if keyword := re.fullmatch(r"(\w+)=(.+)", name):
        return is_keyword(keyword[1], keyword[2])
    return name in {field.name for field in fields(Options)} | {*PRECISIONS} or find(name) is not None


def is_shown(see: str) -> bool:
    """Return whether the test or the command that shows a claim exists."""
    shown = CODE.fullmatch(see)
    if not shown:
        return False
    if test := TEST_ID.fullmatch(shown[1]):
        path = ROOT / test[1]
        return path.is_file() and test[2] in functions(path)
    return is_command(shown[1])


def test_page_counts_its_rows() -> None:
    text = PAGE.read_text(encoding="utf-8")
    head = "| claims | true | partly | missing |\n|---|---|---|---|\n"
    counted = [int(cell) for cell in cells(text.partition(head)[2].partition("\n")[0])]
    states = Counter(claim.state for claim in claims())
    assert counted == [len(claims()), *(states[state] for state in STATES)]


def test_page_follows_the_guides_lines_and_leaves_no_row_out() -> None:
    lines = [int(claim.line) for claim in claims()]
    assert lines == sorted(lines)
    assert 0 < lines[0] <= lines[-1] <= LAST_LINE
    tables = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.count("|") > 5]
    assert len(tables) == len(claims()) + 2 * tables.count("|---|---|---|---|---|---|")
    assert [claim for claim, number in Counter(name_of(claim) for claim in claims()).items() if number > 1] == []


def test_every_claim_has_a_state_and_says_what_lacks() -> None:
    assert [name_of(claim) for claim in claims() if claim.state not in STATES] == []
    silent = [claim for claim in claims() if claim.state != "true" and len(CODE.sub("", claim.here).split()) < 4]
    assert [name_of(claim) for claim in silent] == []
    assert [name_of(claim) for claim in claims() if not claim.measured] == []


def test_every_option_function_and_command_of_the_page_exists() -> None:
    unknown = [(name_of(claim), name) for claim in claims() for name in CODE.findall(claim.here)]
    assert [(claim, name) for claim, name in unknown if not is_named_rightly(name)] == []


def test_every_claim_is_shown_by_a_test_or_a_command_that_exists() -> None:
    assert [name_of(claim) for claim in claims() if claim.see != "nothing shows it" and not is_shown(claim.see)] == []
    assert [name_of(claim) for claim in claims() if claim.state == "true" and not is_shown(claim.see)] == []


def test_every_figure_of_the_page_stands_in_the_pages_that_it_repeats() -> None:
    pages = ("explanation/benchmarks.md", "how-to/precision.md", "explanation/models.md")
    known = {number for page in pages for number in NUMBER.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))}
    repeated = [(name_of(claim), number) for claim in claims() for number in NUMBER.findall(claim.measured)]
    assert [(claim, number) for claim, number in repeated if number not in known] == []
