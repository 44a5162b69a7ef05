"""The guide's code blocks run as they are written."""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.compat.models import BERT, VIT, build
from webinfer.compat import create_ipfs_web_accelerator
from webinfer.compat.keywords import read
from webinfer.core.errors import BrowserNotFound
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
