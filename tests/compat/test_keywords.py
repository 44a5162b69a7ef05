"""The guide's keywords are read, and what is not known or not there yet is refused by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from webinfer.compat import create_ipfs_web_accelerator
from webinfer.compat.keywords import choose, family_of, lanes, platform_of, read
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import BackendUnavailable, OptionError
from webinfer.core.options import Options

ALL = Capabilities("chromium", "1")
NO_WEBGPU = Capabilities("chromium", "1", errors={"webgpu": "no adapter"})
ONLY_WASM = Capabilities("webkit", "1", errors={"webgpu": "no adapter", "webnn": "no navigator.ml"})


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("websocket_prot", "websocket_port"),
        ("retry_attempt", "retry_attempts"),
        ("timeout_multiplyer", "timeout_multiplier"),
        ("cross_browser_sharding", "enable_cross_browser_sharding"),
    ],
)
def test_unknown_keyword_names_the_nearest_known(wrong: str, right: str) -> None:
    with pytest.raises(OptionError, match=rf"Unknown keyword '{wrong}'\. Did you mean '{right}'\?") as caught:
        create_ipfs_web_accelerator(None, 4, True, True, None, **{wrong: 1})
    assert caught.value.data["option"] == wrong


@pytest.mark.parametrize(
    ("keywords", "option", "value"),
    [
        ({"max_connections": 1}, "lanes", 1),
        ({"db_path": "./results.duckdb"}, "db_path", Path("results.duckdb")),
        ({"db_path": None}, "db_path", Path(":memory:")),
        ({"headless": False}, "headless", False),
        ({"websocket_port": 9876}, "port", 9876),
        ({"retry_attempts": 5}, "retries", 5),
        ({"retry_attempts": 5}, "launch_retries", 2),
        ({"connection_retry_attempts": 3}, "launch_retries", 3),
        ({"connection_retry_attempts": 3}, "retries", 2),
        ({"adaptive_scaling": True, "max_connections": 1}, "min_lanes", 1),
        ({"adaptive_scaling": False, "max_connections": 1}, "min_lanes", None),
        ({"min_connections": 0}, "min_lanes", 0),
        ({"idle_timeout": 5}, "idle_timeout", 5.0),
        ({"restart_on_memory_pressure": True}, "restart_on_memory_pressure", True),
        ({"enable_progressive_backoff": False}, "progressive_backoff", False),
        ({"enable_cross_browser_sharding": True}, "shard_models", True),
        ({"browser_preferences": {"audio": "webkit"}}, "browsers", ("all", "webkit")),
        ({"browser_preferences": {"audio": "webkit"}}, "browser_preferences", {"audio": "webkit"}),
        ({"timeout_multiplier": 3}, "run_timeout", 900.0),
        ({"timeout_multiplier": 3}, "load_timeout", 900.0),
        ({"timeout_multiplier": 3}, "launch_timeout", 180.0),
        ({"inference_timeout_multiplier": 2}, "run_timeout", 600.0),
        ({"inference_timeout_multiplier": 2}, "load_timeout", 300.0),
        ({"timeout_multiplier": 3, "inference_timeout_multiplier": 2}, "run_timeout", 1800.0),
    ],
)
def test_keyword_becomes_an_option(keywords: dict[str, Any], option: str, value: Any) -> None:
    assert getattr(read(**keywords).options, option) == value


def test_defaults_are_ours_but_for_the_browsers_and_a_database_in_memory() -> None:
    assert read(max_connections=1).options == Options(lanes=1, browsers=("all",), db_path=Path(":memory:"))


def test_there_are_never_more_lanes_than_cores() -> None:
    assert lanes(10_000) == os.cpu_count()


@pytest.mark.parametrize(
    ("keywords", "factor"),
    [
        ({}, 1.0),
        ({"enable_input_size_detection": True}, 2.0),
        ({"large_input_timeout_multiplier": 3}, 3.0),
        ({"large_input_timeout_multiplier": 3, "enable_input_size_detection": True}, 3.0),
        ({"large_input_timeout_multiplier": 3, "enable_input_size_detection": False}, 1.0),
    ],
)
def test_large_inputs_are_told_apart_when_asked_to(keywords: dict[str, Any], factor: float) -> None:
    assert read(**keywords).options.large_timeout_factor == factor


@pytest.mark.parametrize(
    "keywords",
    [
        {"max_connections": 0},
        {"max_connections": "many"},
        {"timeout_multiplier": 0},
        {"inference_timeout_multiplier": -1},
        {"large_input_timeout_multiplier": "long"},
        {"retry_attempts": -1},
        {"connection_retry_attempts": "often"},
        {"min_connections": -1},
        {"idle_timeout": "soon"},
        {"browser_preferences": {"visoin": "chrome"}},
        {"browser_preferences": {"vision": "netscape"}},
        {"timeout_multiplier": float("nan")},
    ],
)
def test_value_that_cannot_be_names_its_keyword(keywords: dict[str, Any]) -> None:
    (name,) = keywords
    with pytest.raises(OptionError, match=name) as caught:
        read(**keywords)
    assert caught.value.data["option"] == name


def test_neither_gpu_nor_cpu_is_refused() -> None:
    with pytest.raises(OptionError, match="both off"):
        read(enable_gpu=False, enable_cpu=False)


@pytest.mark.parametrize(
    ("platform", "capabilities", "gpu", "cpu", "expected"),
    [
        ("webgpu", NO_WEBGPU, True, True, ("webgpu", None)),  # left to the accelerator, which says so itself
        ("webgpu", ALL, False, True, ("webnn", "enable_gpu is off")),
        ("webgpu", ONLY_WASM, False, True, ("wasm", "enable_gpu is off")),
        ("auto", ALL, False, True, ("webnn", None)),
        ("wasm", ALL, True, False, ("webnn", "enable_cpu is off")),
        ("webgpu", NO_WEBGPU, True, False, ("webnn", "no adapter")),
        ("webnn", ALL, False, True, ("webnn", None)),
    ],
)
def test_platform_is_chosen_among_those_allowed(
    platform: Any, capabilities: Capabilities, gpu: bool, cpu: bool, expected: tuple[str, str | None]
) -> None:
    assert choose(platform, capabilities, gpu=gpu, cpu=cpu) == expected


def test_nothing_allowed_that_runs_is_an_error_that_names_the_keyword() -> None:
    with pytest.raises(BackendUnavailable, match="enable_cpu is off, and webkit can run only wasm"):
        choose("webgpu", ONLY_WASM, gpu=True, cpu=False)


def test_cpu_is_webassembly_and_other_platforms_are_refused() -> None:
    assert platform_of("cpu") == "wasm"
    with pytest.raises(OptionError, match="platform must be one of"):
        platform_of("cuda")


def test_unknown_family_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="Did you mean 'vision'"):
        family_of("visoin")
