"""The architecture, as short as it can be said: a module imports only from layers below its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "webinfer"

LAYERS = (
    {
        "errors",
        "values",
        "bound",
        "mirroring",
        "options",
        "progress",
        "plain",
        "logs",
        "cache",
        "tensors",
        "capabilities",
        "placement",
        "profiles",
        "judging",
    },
    {"wire", "policy", "events", "statistics"},
    {"browsers", "websocket", "connection", "host", "models", "metrics", "running", "tasks"},
    {
        "lane",
        "browser",
        "request",
        "batch",
        "deadlines",
        "queues",
        "gathering",
        "fleet",
        "homing",
        "loader",
        "stretches",
        "scaler",
        "recycler",
        "upkeep",
        "pool",
        "proving",
    },
    {
        "result",
        "choice",
        "sessions",
        "capturing",
        "sentences",
        "recording",
        "sampling",
        "model",
        "sharded",
        "canary",
        "gate",
        "warming",
        "hearing",
        "measuring",
        "snapshot",
        "exposition",
        "learned",
        "supply",
        "choosing",
        "building",
        "tracing",
        "recurrence",
        "pipelines",
        "precisions",
        "accelerator",
        "portal",
        "sync",
    },
    {"bench"},
    {"cli", "compat"},
)
STRANGERS = (LAYERS[1], LAYERS[2], LAYERS[-1])  # the parts of these layers do not import each other
FRIENDS = {
    ("events", "policy"),
    ("host", "connection"),
    ("host", "websocket"),
    ("connection", "websocket"),
}  # but for these
PURE = {"wire", "policy", "events", "statistics"}  # no I/O, no clock, no randomness: callers pass `now`
IMPURE = {"asyncio", "threading", "subprocess", "time", "datetime", "random", "secrets", "socket", "os", "aiohttp"}
ANNOUNCES_ONLY = {
    "lane",
    "browser",
    "request",
    "fleet",
    "homing",
    "loader",
    "stretches",
    "scaler",
    "recycler",
    "upkeep",
    "pool",
}  # events go out by callback; who records them is not their matter

MODULES = sorted(SOURCE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Name every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "webinfer":
            yield from (f"webinfer.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


def test_the_page_on_the_architecture_lists_the_same_layers() -> None:
    page = (SOURCE.parent.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| `([a-z_ ]+)` \|", page, re.MULTILINE)
    assert [(int(number), set(names.split())) for number, names in rows] == list(enumerate(LAYERS))


def part(path: Path) -> str:
    """Name the part of the package that a file belongs to: `wire` for wire/codec.py, `host` for host.py."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


def parts_imported(path: Path) -> set[str]:
    used = {name.split(".")[1] for name in imports(path) if name.startswith("webinfer.")}
    known = set().union(*LAYERS)
    return (used & known) - {part(path)}


def inner(paths: list[Path]) -> list[Path]:
    """Leave out the package's front door, which re-exports from everywhere."""
    return [path for path in paths if path.parent != SOURCE or not path.name.startswith("__")]


def id_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def test_every_part_has_a_layer() -> None:
    assert MODULES
    assert {part(path) for path in inner(MODULES)} <= set().union(*LAYERS)


@pytest.mark.parametrize("path", inner(MODULES), ids=id_of)
def test_imports_go_only_downwards(path: Path) -> None:
    own = part(path)
    above = {name for name in parts_imported(path) if layer(name) > layer(own)}
    assert not above, f"{own} imports {sorted(above)} from a layer above its own"
    beside = {name for name in parts_imported(path) if LAYERS[layer(own)] in STRANGERS and layer(name) == layer(own)}
    strange = {name for name in beside if (own, name) not in FRIENDS}
    assert not strange, f"{own} imports its neighbour {sorted(strange)}"


@pytest.mark.parametrize("path", [path for path in inner(MODULES) if part(path) in PURE], ids=id_of)
def test_pure_parts_have_no_input_output_clock_or_chance(path: Path) -> None:
    impure = {name for name in imports(path) if name.split(".")[0] in IMPURE or name.startswith("numpy.random")}
    assert not impure, f"{id_of(path)} is pure and imports {sorted(impure)}"


@pytest.mark.parametrize("path", [path for path in inner(MODULES) if part(path) in ANNOUNCES_ONLY], ids=id_of)
def test_the_pool_does_not_know_the_metrics(path: Path) -> None:
    assert "metrics" not in parts_imported(path)
