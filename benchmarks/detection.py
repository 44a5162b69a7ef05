"""Whether a slowdown is seen, and nothing where there is none: in real browsers, with real work.

A model, and the same with 15 % more layers, each in a browser of its own, take turns; so do the model and itself. Each
trial starts both browsers anew, and has rounds until the interval is narrow enough. With ``--separate``, a trial is two
whole benchmarks one after the other, as ``webinfer bench`` makes them, of one file that meanwhile became slower or did
not, and ``webinfer compare`` judges. An alarm is a change that chance does not explain, of more than 5 % as it is seen;
``compare --fail-on`` asks for more: that it is larger than its limit by more than chance explains.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.measure import machine, parser, show
from webinfer import AsyncAccelerator, AsyncModel
from webinfer.bench import Matrix, Method, benchmark, compare
from webinfer.core.statistics import Comparison, is_steady, paired

LAYERS, MORE = 20, 23  # 15 % more
ROWS, WIDTH = 48, 512  # some milliseconds a layer pair: the way to the browser and back is a small part
MARGIN = 0.05  # that nobody minds
NARROW = 0.04  # half-width of an interval that needs no more rounds
MOST = 4  # times the rounds, at most
SEPARATE = Method(launches=3, least=5, most=5, turn=0.1, patience=30, margin=0.001)


@dataclass(frozen=True)
class Trials:
    """What was seen, of how much."""

    name: str
    compared: list[Comparison]

    @property
    def alarms(self) -> int:
        return sum(each.is_slower(MARGIN) for each in self.compared)

    def row(self, wanted: str) -> list[str]:
        changes = [each.change for each in self.compared]
        return [
            self.name,
            f"{self.alarms} of {len(self.compared)}",
            wanted,
            f"{statistics.median(changes):+.1%} ({min(changes):+.1%} to {max(changes):+.1%})",
            f"{max(each.p_value for each in self.compared):.2g}",
        ]


def save(path: Path, layers: int) -> None:
    """Write a model of so many layers, each a product with a square matrix."""
    chance = np.random.default_rng(0)
    weights = chance.standard_normal((WIDTH, WIDTH)).astype(np.float32) / np.float32(np.sqrt(WIDTH))
    names = ["x", *(f"h{at}" for at in range(1, layers)), "y"]
    nodes = [helper.make_node("MatMul", [names[at], "weights"], [names[at + 1]]) for at in range(layers)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (ROWS, WIDTH)) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "work", ends[:1], ends[1:], [numpy_helper.from_array(weights, "weights")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


async def turn(model: AsyncModel, inputs: np.ndarray[tuple[int, int], np.dtype[np.float32]], runs: int) -> float:
    """Return the median seconds of some runs."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        await model.run(inputs)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def side_by_side(paths: list[Path], rounds: int, seed: int, browser: str) -> Comparison:
    """Have two models take turns, each in a browser just started."""
    chance = np.random.default_rng(seed)
    inputs = chance.standard_normal((ROWS, WIDTH)).astype(np.float32)
    async with (
        AsyncAccelerator(browser=browser, threads=1) as first,
        AsyncAccelerator(browser=browser, threads=1) as second,
    ):
        models = [await each.load(path, platform="wasm") for each, path in zip((first, second), paths, strict=True)]
        for model in models:
            times: list[float] = []
            while not is_steady(times) and len(times) < 40:
                times.append(await turn(model, inputs, 1))
        costs: list[list[float]] = [[], []]
        for number in range(MOST * rounds):
            for at in chance.permutation(2):
                costs[at].append(await turn(models[at], inputs, 5))
            seen = paired(costs[0], costs[1])
            if number + 1 >= rounds and seen.high - seen.low <= 2 * NARROW:
                break
    return seen


async def one_after_the_other(directory: Path, layers: tuple[int, int], browser: str) -> Comparison:
    """Measure one file twice, in two benchmarks, between which it may become slower."""
    path = directory / "model.onnx"
    records = []
    for count in layers:
        save(path, count)
        matrix = Matrix(models=(str(path),), browsers=(browser,), platforms=("wasm",))
        records.append(await benchmark(matrix, SEPARATE, lambda step: None, options={"threads": 1}))
    (found,) = compare(records[0], records[1], MARGIN)
    assert found.counted is not None, found.why
    return found.counted


async def main(trials: int, rounds: int, browser: str, separate: bool) -> bool:
    kinds = {"15 % more work": (LAYERS, MORE), "the same work": (LAYERS, LAYERS)}
    seen: dict[str, list[Comparison]] = {name: [] for name in kinds}
    with tempfile.TemporaryDirectory(prefix="webinfer-") as temporary:
        directory = Path(temporary)
        for layers in (LAYERS, MORE):
            save(directory / f"{layers}.onnx", layers)
        for trial in range(trials):
            for name, pair in kinds.items():
                paths = [directory / f"{count}.onnx" for count in pair]
                work = (
                    one_after_the_other(directory, pair, browser)
                    if separate
                    else side_by_side(paths, rounds, trial, browser)
                )
                seen[name].append(await work)
                last = seen[name][-1]
                print(
                    f"  trial {trial + 1}, {name}: {last.change:+.1%} ({last.low:+.1%} to {last.high:+.1%}), "
                    f"p = {last.p_value:.2g}, {last.n} {last.unit}s",
                    flush=True,
                )
    slower, same = (Trials(name, compared) for name, compared in seen.items())
    columns = ["Trials", "Alarms", "Wanted", "Change seen, median (range)", "Largest p"]
    least, most = round(trials * 0.95), round(trials * 0.05)
    show(
        "Slowdowns detected" + (", in separate benchmarks" if separate else ", side by side"),
        columns,
        [slower.row(f"at least {least}"), same.row(f"at most {most}")],
    )
    return slower.alarms >= least and same.alarms <= most


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--trials", type=int, default=20, help="trials of each kind")
    options.add_argument("--rounds", type=int, default=20, help="turns of each model in a trial")
    options.add_argument("--separate", action="store_true", help="two whole benchmarks in each trial")
    arguments = options.parse_args()
    print(machine())
    count, turns = (2, 10) if arguments.quick else (arguments.trials, arguments.rounds)
    raise SystemExit(0 if asyncio.run(main(count, turns, arguments.browser, arguments.separate)) else 1)
