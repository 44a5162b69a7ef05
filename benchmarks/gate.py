"""What the default gate costs: loading a model with its answers checked and without, the first time and the second.

Each turn is a process of its own that starts a browser and loads one model. Before a contestant's *first* load the
cache holds the model's files, and nothing that was made of them or found out about them. Its *second* load has the
cache that the first one left. The *prepared* load has the graph as it is delivered, and nothing that was found out, as
after an update of the browser. Memory is the peak of the turn's own process, and that of the process which runs models
natively.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.loading import spread
from benchmarks.measure import machine, parser, show
from webinfer import AsyncAccelerator
from webinfer.core.cache import cache_dir
from webinfer.core.options import Options
from webinfer.models.sources.resolve import resolve

MODELS = ("wheel:all-MiniLM-L6-v2", "wheel:efficientnet-lite0", "random:bert-base-uncased")
BACKENDS = ("wasm", "webnn")
MODES = ("off", "auto")
LOADS = ("first", "second", "prepared")
_FOUND_OUT = ("accuracy", "references")

_WORKER = "webinfer.accuracy.bounded.worker"
_FILES = ("models", "wheels", "probes", "hashes.json")  # what is in the cache before anything is found out
_INTERVAL = 0.02  # seconds between looks at memory


@dataclass(frozen=True, slots=True)
class Turn:
    """One load in a process of its own.

    Attributes:
        seconds: Time of the load, in a browser that was up.
        start: Time of the browser's start.
        accuracy: What the results say of the answers.
        own_mb: Peak memory of the process, in 10^6 bytes.
        native_mb: Peak memory of the process that runs models natively; 0 where there was none.
    """

    seconds: float
    start: float
    accuracy: str
    own_mb: float
    native_mb: float

    @property
    def whole(self) -> float:
        """Seconds of the start and the load."""
        return self.start + self.seconds


async def load(browser: str, reference: str, backend: str, mode: str) -> dict[str, Any]:
    """Start a browser and load a model."""
    began = time.perf_counter()
    options = Options.of(browser=browser, platform=backend, accuracy=mode, lane_capacity_mb=None)
    async with AsyncAccelerator(options) as accelerator:
        start = time.perf_counter() - began
        began = time.perf_counter()
        model = await accelerator.load(reference)
        seconds = time.perf_counter() - began
        assert model.backend == backend, f"{reference} runs on {model.backend}"
        outcomes = sorted(str(outcome) for outcome in model.results.checks._accuracies.values())
        return {"seconds": seconds, "start": start, "accuracy": "; ".join(outcomes) or "off"}


def take_turn(browser: str, reference: str, backend: str, mode: str, cache: Path) -> Turn:
    """Load in a process of its own, and watch its memory."""
    command = [sys.executable, "-m", "benchmarks.gate", "--browser", browser, "--turn", reference, backend, mode]
    environment = {**os.environ, "WEBINFER_CACHE": str(cache)}
    peaks = {"own": 0.0, "native": 0.0}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            watch(psutil.Process(process.pid), peaks)
            time.sleep(_INTERVAL)
        assert process.stdout is not None
        printed = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{reference} could not be loaded on {backend} with accuracy={mode}.")
    return Turn(**json.loads(printed.splitlines()[-1]), own_mb=peaks["own"], native_mb=peaks["native"])


def watch(process: psutil.Process, peaks: dict[str, float]) -> None:
    """Note the memory that a turn and its native process had at most so far."""
    try:
        peaks["own"] = max(peaks["own"], peak_mb(process))
        for child in process.children():
            if _WORKER in child.cmdline():
                peaks["native"] = max(peaks["native"], peak_mb(child))
    except psutil.Error:
        pass  # one of them has just ended


def peak_mb(process: psutil.Process) -> float:
    """Return the most memory that a process had; what it has now, where the system does not count that."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
        peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = process.memory_info().rss
    return peak / 1e6


def fill(cache: Path) -> None:
    """Make a cache that holds the browser and the models' files alone."""
    cache.mkdir()
    known = cache_dir()
    for path in (*(known / name for name in _FILES), *known.glob("chromium-*"), *known.glob("node-*")):
        if path.is_dir():
            (cache / path.name).symlink_to(path)
        elif path.is_file():
            shutil.copy(path, cache / path.name)


def forget(cache: Path) -> None:
    """Remove what was found out about models from a cache."""
    for name in _FOUND_OUT:
        shutil.rmtree(cache / name, ignore_errors=True)


def measure(browser: str, reference: str, backend: str, rounds: int) -> dict[tuple[str, str], list[Turn]]:
    """Return the turns of one model on one backend, by load and mode; in each round the order is another one."""
    turns: dict[tuple[str, str], list[Turn]] = {(load, mode): [] for load in LOADS for mode in MODES}
    for number in range(rounds):
        with tempfile.TemporaryDirectory(prefix="webinfer-gate-") as folder:
            modes = MODES if number % 2 == 0 else MODES[::-1]
            for mode in modes:
                fill(Path(folder, mode))
            for load in LOADS:
                for mode in modes:
                    if load == "prepared":
                        forget(Path(folder, mode))
                    turns[load, mode].append(take_turn(browser, reference, backend, mode, Path(folder, mode)))
    return turns


def row(reference: str, backend: str, load: str, off: list[Turn], on: list[Turn]) -> list[str]:
    """Return a row of the table."""
    pairs = list(zip(on, off, strict=True))
    return [
        reference.partition(":")[2],
        backend,
        load,
        *(f"{statistics.median(turn.seconds for turn in turns):.2f}" for turns in (off, on)),
        spread([one.seconds / other.seconds for one, other in pairs]),
        spread([one.whole / other.whole for one, other in pairs]),
        *(f"{max(turn.own_mb for turn in turns):.0f}" for turns in (off, on)),
        *(f"{max(turn.native_mb for turn in turns):.0f}" for turns in (off, on)),
    ]


def main(asked: argparse.Namespace) -> None:
    """Measure, and print."""
    print(machine())
    rounds = 1 if asked.quick else asked.rounds
    rows = []
    for reference in asked.models:
        resolve(reference)
        for backend in asked.backends:
            turns = measure(asked.browser, reference, backend, rounds)
            assert all("unchecked" not in turn.accuracy for turn in turns["first", "auto"]), "nothing was compared"
            rows += [row(reference, backend, load, turns[load, "off"], turns[load, "auto"]) for load in LOADS]
            print(f"  done: {reference} on {backend}", flush=True)
    columns = ["model", "backend", "load", "off s", "gate s", "gate / off", "with the browser's start"]
    memory = ["off MB", "gate MB", "native, off MB", "native, gate MB"]
    show(f"What the gate costs a load, in {rounds} rounds, and peak memory of Python", [*columns, *memory], rows)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--models", nargs="+", default=list(MODELS), help="models to load")
    options.add_argument("--backends", nargs="+", default=list(BACKENDS), help="backends to load them on")
    options.add_argument("--rounds", type=int, default=5, help="turns that each contestant has")
    options.add_argument("--turn", nargs=3, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.turn:
        print(json.dumps(asyncio.run(load(arguments.browser, *arguments.turn))))
    else:
        main(arguments)
