"""What each optimization brings, per engine: the same requests with it and without it.

Both contestants are up at once and take turns, so that a machine whose speed drifts does so for both. Each round gives
one ratio of two medians; the figure is the ratios' median, with a bootstrap interval of 95%. Above 1 it is a gain. For
warm-up a round is a fresh browser of each, and what is timed is the first request after loading.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.measure import machine, parser, show
from webinfer import AsyncAccelerator, AsyncModel, Result
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import BackendUnavailable, BrowserNotFound
from webinfer.core.statistics.interval import bootstrap
from webinfer.models.sources.resolve import resolve

_RUNS = 5  # of one turn
_MODEL = "wheel:all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Case:
    """An optimization on one engine and backend: options that switch it on and off."""

    name: str
    browser: str
    backend: str
    on: Mapping[str, Any]
    off: Mapping[str, Any] = field(default_factory=dict)
    sequence: int = 128
    first: bool = False  # time the first request, not the later ones
    reference: str = _MODEL


CASES = [
    Case("gelu", "embedded", "webnn", {"optimize_graphs": True}, {"optimize_graphs": False}),
    Case(
        "gelu",
        "embedded",
        "webnn",
        {"optimize_graphs": True},
        {"optimize_graphs": False},
        reference="random:bert-base-uncased",
    ),
    *(Case("integers", browser, "wasm", {"integer_matmul": True}) for browser in ("embedded", "firefox", "webkit")),
    Case("integers", "embedded", "wasm", {"integer_matmul": True}, reference="random:bert-base-uncased"),
    *(
        Case("warm-up", browser, backend, {"warm_up": True, "warm_up_lengths": (16,)}, sequence=16, first=True)
        for browser, backend in (
            ("embedded", "webgpu"),
            ("firefox", "webgpu"),
            ("embedded", "webnn"),
            ("embedded", "wasm"),
        )
    ),
    *(
        Case("capture", "embedded", "webgpu", {"graph_capture": True}, sequence=sequence, reference="random:bert-tiny")
        for sequence in (16, 128)
    ),
]
NAMES = sorted({case.name for case in CASES})


def tokens(sequence: int) -> dict[str, Any]:
    """Return one item of ``sequence`` ordinary tokens."""
    ids = np.random.default_rng(0).integers(1000, 20000, (1, sequence), dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


async def turn(model: AsyncModel, inputs: Mapping[str, Any], runs: int) -> float:
    """Return the median of some runs, in seconds."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        await model.run(inputs)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def later(case: Case, rounds: int) -> tuple[list[tuple[float, float]], tuple[Result, Result]]:
    """Return the seconds of each round with and without, and an answer of each."""
    inputs = tokens(case.sequence)
    async with opened(case, case.on) as on, opened(case, case.off) as off:
        models = [await each.load(case.reference, platform=case.backend) for each in (on, off)]  # type: ignore[arg-type]
        answers = [await model.run(inputs) for model in models]
        for model in models:
            await turn(model, inputs, 2)
        pairs = [(await turn(models[0], inputs, _RUNS), await turn(models[1], inputs, _RUNS)) for _ in range(rounds)]
    return pairs, (answers[0], answers[1])


async def first(case: Case, rounds: int) -> tuple[list[tuple[float, float]], tuple[Result, Result]]:
    """Return the seconds of the first request after loading with and without, and an answer of each."""
    pairs, answers = [], []
    for _ in range(rounds):
        pair = []
        for options in (case.on, case.off):
            async with opened(case, options) as accelerator:
                model = await accelerator.load(case.reference, platform=case.backend)  # type: ignore[arg-type]
                began = time.perf_counter()
                answers.append(await model.run(tokens(case.sequence)))
                pair.append(time.perf_counter() - began)
        pairs.append((pair[0], pair[1]))
    return pairs, (answers[-2], answers[-1])


def opened(case: Case, options: Mapping[str, Any]) -> AsyncAccelerator:
    """Return an accelerator of one lane with one thread."""
    return AsyncAccelerator(browser=case.browser, lanes=1, threads=1, **options)


def cosine(case: Case, result: Result) -> float:
    """Return how close an answer is to native onnxruntime's."""
    native = NativeSession(resolve(case.reference)).run(tokens(case.sequence))
    expected, got = native["last_hidden_state"].ravel(), result["last_hidden_state"].ravel()
    return float(expected @ got / np.linalg.norm(expected) / np.linalg.norm(got))


async def measure(case: Case, rounds: int) -> list[str]:
    """Return the case's row."""
    pairs, (on, off) = await (first if case.first else later)(case, rounds)
    gain = bootstrap([without / with_it for with_it, without in pairs])
    medians = [statistics.median(side) * 1e3 for side in zip(*pairs, strict=True)]
    return [
        case.name,
        on.model,
        str(case.sequence),
        f"{on.engine} {on.engine_version}",
        f"{case.backend} ({on.verdict.kind})",
        "first" if case.first else "later",
        *(f"{median:.1f}" for median in medians),
        f"{gain.estimate:.2f} ({gain.low:.2f}-{gain.high:.2f})",
        *(f"{cosine(case, result):.5f}" for result in (on, off)),
    ]


async def main(rounds: int, only: list[str]) -> None:
    rows = []
    for case in CASES:
        if only and case.name not in only:
            continue
        try:
            rows.append(await measure(case, rounds))
            print("  done:", *rows[-1], flush=True)
        except (BrowserNotFound, BackendUnavailable) as error:
            print(f"  left out: {case.name} on {case.browser} {case.backend}: {error}", flush=True)
    columns = ["optimization", "model", "sequence", "engine", "backend", "request"]
    columns += ["ms with", "ms without", "times as fast (95%)", "cosine with", "without"]
    show("Optimizations, with and without", columns, rows)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=15, help="turns that each contestant has")
    options.add_argument("--only", nargs="+", choices=NAMES, default=[], help="optimizations to measure")
    arguments = options.parse_args()
    print(machine())
    asyncio.run(main(2 if arguments.quick else arguments.rounds, arguments.only))
