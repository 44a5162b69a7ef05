"""How far each backend is from native onnxruntime on the same cores, as throughput ratios.

One lane with one thread against one native session with one thread, then as many lanes as there are cores against
the better of one native session on all cores and one session per core. Contestants take turns in one run.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.measure import machine, parser, show
from webinfer import AsyncAccelerator, AsyncModel
from webinfer.accuracy.native import NativeSession
from webinfer.models.files.package import ModelPackage
from webinfer.models.sources.resolve import resolve

CORES = os.cpu_count() or 1
Inputs = dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]


@dataclass(frozen=True)
class Case:
    reference: str
    sequence: int
    seconds: float  # of one turn
    backends: tuple[str, ...]


CASES = [
    Case("wheel:all-MiniLM-L6-v2", 16, 2.0, ("wasm", "webnn", "webgpu")),
    Case("wheel:all-MiniLM-L6-v2", 128, 3.0, ("wasm", "webnn")),
    Case("random:bert-base-uncased", 128, 4.0, ("wasm", "webnn")),
]


def tokens(sequence: int) -> Inputs:
    """Return one item of ``sequence`` ordinary tokens."""
    ids = np.random.default_rng(0).integers(1000, 20000, (1, sequence), dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


async def in_browser(model: AsyncModel, inputs: Inputs, seconds: float, callers: int) -> float:
    """Return items per second with ``callers`` requests under way."""
    end = time.perf_counter() + seconds
    counts = [0] * callers

    async def caller(number: int) -> None:
        while time.perf_counter() < end:
            await model.run(inputs)
            counts[number] += 1

    began = time.perf_counter()
    await asyncio.gather(*map(caller, range(callers)))
    return sum(counts) / (time.perf_counter() - began)


async def natively(sessions: list[NativeSession], inputs: Inputs, seconds: float) -> float:
    """Return items per second with one caller per session, each in a thread."""
    end = time.perf_counter() + seconds

    def caller(session: NativeSession) -> int:
        count = 0
        while time.perf_counter() < end:
            session.run(inputs)
            count += 1
        return count

    began = time.perf_counter()
    counts = await asyncio.gather(*(asyncio.to_thread(caller, session) for session in sessions))
    return sum(counts) / (time.perf_counter() - began)


async def measure(
    package: ModelPackage, case: Case, backend: str, lanes: int, browser: str, rounds: int, integers: bool
) -> list[str]:
    inputs = tokens(case.sequence)
    groups = [[NativeSession(package, threads=lanes)]]
    if lanes > 1:
        groups.append([NativeSession(package, threads=1) for _ in range(lanes)])
    async with AsyncAccelerator(browser=browser, lanes=lanes, threads=1, integer_matmul=integers) as accelerator:
        model = await accelerator.load(case.reference, platform=backend)  # type: ignore[arg-type]
        first = await model.run(inputs)
        await model.run_batch([inputs] * 4 * lanes)  # spreads to every lane
        expected = groups[0][0].run(inputs)["last_hidden_state"].ravel()
        got = first.outputs["last_hidden_state"].ravel()
        cosine = float(expected @ got / np.linalg.norm(expected) / np.linalg.norm(got))
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(await in_browser(model, inputs, case.seconds, callers=2 * lanes))
            theirs.append(max([await natively(group, inputs, case.seconds) for group in groups]))
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    name = f"{package.name} ({package.weights} weights)"
    return [
        name,
        str(case.sequence),
        f"{backend} {first.precision}",
        first.verdict.kind,
        str(lanes),
        f"{statistics.median(ours):.2f}",
        f"{statistics.median(theirs):.2f}",
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})",
        f"{cosine:.6f}",
    ]


async def main(rounds: int, browser: str, integers: bool) -> None:
    rows = []
    for case in CASES:
        package = await asyncio.to_thread(resolve, case.reference)
        for backend in case.backends:
            for lanes in (1,) if backend == "webgpu" else sorted({1, CORES}):
                rows.append(await measure(package, case, backend, lanes, browser, rounds, integers))
                print("  done:", *rows[-1], flush=True)
    columns = [
        "model",
        "sequence",
        "backend",
        "verdict",
        "lanes",
        "items/s",
        "native items/s",
        "ratio (range)",
        "cosine",
    ]
    show("Throughput against native onnxruntime on the same cores", columns, rows)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=5, help="turns that each contestant has")
    options.add_argument("--integers", action="store_true", help="multiply in 8-bit integers on WebAssembly")
    arguments = options.parse_args()
    print(machine())
    asyncio.run(main(1 if arguments.quick else arguments.rounds, arguments.browser, arguments.integers))
