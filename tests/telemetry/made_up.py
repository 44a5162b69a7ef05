"""A database in which every section of a report has something to show, with values that are made up."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from webinfer.telemetry.database.store import Store

LONG = 'models/quote "it\'s"/<b>a-model-whose-name-goes-on-and-on</b>' + "x" * 90 + "-and-on" * 12
NAMES = ("random:bert-tiny", LONG)
BROWSERS = ("embedded", "firefox")
BACKENDS = ("wasm", "webnn", "webgpu")
BEGAN = 1.8e9  # seconds since 1970


def make(path: Path) -> Path:
    """Write two runs and a benchmark of two models in two browsers, on three backends."""
    store = Store(path)
    store.add("machines", id="m", cpu="a processor", cores=2, memory_mb=8000, os="Linux", python="3.12")
    for number in range(2):
        _run(store, number)
    _benchmark(store)
    store.close()
    return path


def places() -> list[tuple[str, str, str]]:
    """Return every model in every browser on every backend that it has."""
    return [
        (name, browser, backend)
        for name in NAMES
        for browser in BROWSERS
        for backend in BACKENDS
        if (browser, backend) != ("firefox", "webnn")
    ]


def _run(store: Store, number: int) -> None:
    began = BEGAN + 1e5 * number
    run = store.add("runs", machine="m", started=began, ended=began + 60, revision="abc", version="0.1.0")
    browsers = {
        name: store.add("browsers", run=run, label=name, name=name, engine_version="1", adapter="it", started=began)
        for name in BROWSERS
    }
    for at, (name, browser, backend) in enumerate(places()):
        known: dict[str, Any] = {"backend": backend, "precision": "fp32", "model_name": name, "browser_name": browser}
        store.add("models", sha256=name, name=name, nbytes=9_000_000)
        session = store.add(
            "sessions",
            **{**known, "run": run, "model": name, "browser": browsers[browser], "weights": "random"},
            verdict="software",
            engine_version="1",
            evidence=["it says so " * 9],
            placement={"nodes": {backend: 90, "cpu": 1 + at}, "fallen": {"Shape": 1}},
        )
        here = {"run": run, "model": name, "backend": backend, "precision": "fp32", "browser": browsers[browser]}
        store.add("loads", **here, nbytes=9_000_000, seconds=0.4, fetch_time=0.1, create_time=0.3)
        for request in range(80):
            took = 0.002 * (1 + at) * (1 + number / 9) * (1 + 0.3 * math.sin(request)) + (0.1 if not request else 0)
            spent = {"queue": took / 5, "wait": took / 9, "transfer": took / 7, "run_time": took, "total": 1.5 * took}
            moment = began + 0.7 * request / (1 + request % 4)
            counts = dict.fromkeys(("items", "batch", "attempts"), 1)
            store.add("inferences", run=run, session=session, timestamp=moment, **spent, **counts)
        store.add(
            "inferences", run=run, session=session, timestamp=began + 3, error_code="nan", error=f"{name} is NaN."
        )
        for precision, distance in (("fp16", 1e-6), ("q4", 3e-3)):
            checked = {**known, "precision": precision, "metric": "cosine", "threshold": 0.99, "passed": True}
            size = 40_000_000 if precision == "fp16" else 12_000_000
            store.add(
                "accuracy_checks", run=run, **checked, value=1 - distance * (1 + at), nbytes=size + 1_000_000 * at
            )
    for at in range(30):
        store.add("samples", run=run, timestamp=began + at, browser_mb=600.0 + at, python_mb=90.0, lanes=2, browsers=2)
    store.add("faults", run=run, kind="lane", code="lost.lane", reason="It went. " * 40)
    store.add("recoveries", run=run, kind="lane", seconds=0.5)


def _benchmark(store: Store) -> None:
    number = store.add("benchmarks", name="b", started=BEGAN, machine="m", command=json.dumps({}))
    for at, (name, browser, backend) in enumerate(places()):
        known = {
            "benchmark": number,
            "model_name": name,
            "backend": backend,
            "precision": "fp32",
            "browser_name": browser,
        }
        for lanes in (1, 2, 4):
            told = {**known, "concurrency": lanes, "verdict": "software", "weights": "random"}
            value = 0.01 * (1 + at) / lanes**0.8
            store.add(
                "measurements", **told, metric="time_per_item", unit="s", value=value, low=value / 2, high=value * 2
            )
            store.add("measurements", **told, metric="time_over_native", unit="1", value=3.0)
            store.add("measurements", **told, metric="cold_load", unit="s", value=1.0)
            store.add("measurements", **told, metric="memory", unit="MB", value=700.0)
        store.add("measurements", **known, error=f"browser.not_found: {browser} is not installed, {'see there ' * 30}")
