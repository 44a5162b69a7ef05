"""The log-mel spectrogram of 30 seconds: each workgroup of the shader, per engine, beside numpy on the CPU.

All take turns in every round, so that a machine whose speed drifts does so for all. A shape's gain is the median of its
rounds' ratios, with a bootstrap interval of 95%; above 1 it is faster than what it is compared with. The shader's time
is the lane's, from writing its inputs to reading its answer; the round trip is what Python waits for it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.measure import machine, parser, show
from webinfer import AsyncAccelerator
from webinfer.browsers.lane import Lane
from webinfer.core.errors import BackendUnavailable, BrowserNotFound
from webinfer.core.statistics.interval import bootstrap
from webinfer.inference.probes.audio import DEFAULT, SHAPES, Workgroup, hear, name
from webinfer.models.preprocessing.audio_features import LogMel

BROWSERS = ["embedded", "chrome", "edge", "chromium", "firefox"]
_FEATURES = LogMel()
_COLUMNS = ["workgroup", "engine", "adapter", "ms", "ms round trip", "times as fast as 64x1x1 (95%)"]
_COLUMNS += ["as numpy", "largest difference"]


def against(plain: Sequence[float], own: Sequence[float]) -> str:
    """Return how many times as fast the second is, by round."""
    gain = bootstrap([before / after for before, after in zip(plain, own, strict=True)])
    return f"{gain.estimate:.2f} ({gain.low:.2f}-{gain.high:.2f})"


async def measure(lane: Lane, rounds: int) -> list[list[str]]:
    """Return a row for each workgroup, and one for numpy."""
    samples = (np.random.default_rng(0).standard_normal(_FEATURES.length) * 0.1).astype(np.float32)
    expected = _FEATURES(samples)["input_features"]
    inside: dict[Workgroup, list[float]] = {shape: [] for shape in SHAPES}
    around: dict[Workgroup, list[float]] = {shape: [] for shape in SHAPES}
    differences = dict.fromkeys(SHAPES, 0.0)
    native: list[float] = []
    for turn in range(rounds + 1):
        began = time.perf_counter()
        _FEATURES(samples)
        native.append((time.perf_counter() - began) * 1e3)
        for shape in SHAPES:
            began = time.perf_counter()
            made, milliseconds = await hear(lane, _FEATURES, samples, shape)
            around[shape].append((time.perf_counter() - began) * 1e3)
            inside[shape].append(milliseconds)
            differences[shape] = max(differences[shape], float(np.abs(made["input_features"] - expected).max()))
        if not turn:  # shaders were compiled
            for times in (native, *inside.values(), *around.values()):
                times.clear()
    told = lane.capabilities
    where = [f"{told.engine} {told.engine_version}", f"{told.adapter} ({lane.verdict('webgpu').kind})"]
    rows = [
        [
            name(shape),
            *where,
            f"{statistics.median(inside[shape]):.1f}",
            f"{statistics.median(around[shape]):.1f}",
            against(inside[DEFAULT], inside[shape]),
            against(native, around[shape]),
            f"{differences[shape]:.1e}",
        ]
        for shape in SHAPES
    ]
    return [*rows, ["numpy", where[0], "CPU", f"{statistics.median(native):.1f}", "", "", "1.00", ""]]


async def main(rounds: int, browsers: Sequence[str]) -> None:
    rows = []
    for browser in browsers:
        try:
            async with AsyncAccelerator(browser=browser) as accelerator:
                capabilities = await accelerator.start()
                if capabilities.adapter is None:
                    print(f"  left out: {browser} has no WebGPU adapter", flush=True)
                    continue
                assert accelerator._pool is not None
                rows += await measure(next(iter(accelerator._pool.lanes.values())), rounds)
        except (BrowserNotFound, BackendUnavailable) as error:
            print(f"  left out: {browser}: {error}", flush=True)
    show("Log-mel spectrogram of 30 s", _COLUMNS, rows)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=15, help="turns that each contestant has")
    options.add_argument("--browsers", nargs="+", choices=BROWSERS, default=BROWSERS, help="browsers to measure in")
    arguments = options.parse_args()
    print(machine())
    asyncio.run(main(2 if arguments.quick else arguments.rounds, arguments.browsers))
