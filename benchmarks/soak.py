"""A steady load for ten minutes: does memory stay where it is, and every answer right?

Sentences of many lengths, in batches of one to four, go to a real model at a steady rate, and every answer is compared
with native onnxruntime's. Meanwhile the memory of this process and of the browsers is sampled. After the warm-up a line
is fitted to each series; the exit code is 1 where one grows or an answer was wrong.

The resident set (RSS) counts what processes share in each of them; of it, the heap is what no file backs (RssAnon). The
proportional set size (PSS) shares out what is shared, so that any other browser on the machine that starts or ends
changes it, for they share their program: what grows is therefore judged by the other two.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.measure import machine, parser, show
from benchmarks.trend import Trend, trend
from webinfer import AsyncAccelerator, AsyncModel
from webinfer.accuracy.native import NativeSession
from webinfer.models.zoo.probe import echo_model

MODEL = "wheel:all-MiniLM-L6-v2"
SAMPLES = 300  # in a whole run
WARM_UP = 0.25  # of a run
CALLERS = 4
INPUTS = 24  # different requests, each seen again and again
REMEMBERED = 5000  # runs, more than an accelerator remembers for its figures: that memory is full from the start
PLOT = Path(__file__).parent / "results" / "soak.svg"

Tokens = dict[str, NDArray[np.int64]]


@dataclass
class Soak:
    """What a run showed.

    Attributes:
        minutes: When each sample was taken.
        series: MB by sample, of each process or group and each way to measure it.
        late: Requests that were sent after their time, since the machine could not keep up.
    """

    right: int = 0
    wrong: int = 0
    late: int = 0
    minutes: list[float] = field(default_factory=list)
    series: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def trends(self, warm_up: float) -> dict[str, Trend]:
        """Fit a line to each series, from ``warm_up`` minutes on."""
        kept = [at for at, minute in enumerate(self.minutes) if minute >= warm_up]
        when = [self.minutes[at] for at in kept]
        return {name: trend(when, [values[at] for at in kept]) for name, values in self.series.items()}


def draw(random: np.random.Generator) -> Tokens:
    """Draw a batch of one to four sequences of 4 to 96 tokens."""
    shape = int(random.integers(1, 5)), int(random.integers(4, 97))
    ids = random.integers(1000, 20000, shape, dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def weigh() -> dict[str, float]:
    """Measure memory, in MB: of this process, and of all that it started."""
    sums: defaultdict[str, float] = defaultdict(float)
    me = psutil.Process()
    for who, process in (("python", me), *(("browsers", child) for child in me.children(recursive=True))):
        with contextlib.suppress(psutil.Error):  # it ended meanwhile, or is not ours to look into
            full = process.memory_full_info()
            sums[f"{who} RSS"] += full.rss / 1e6
            sums[f"{who} PSS"] += getattr(full, "pss", full.uss) / 1e6
            sums[f"{who} heap"] += (full.rss - getattr(full, "shared", 0)) / 1e6
    return sums


async def soak(model: AsyncModel, minutes: float, rate: float) -> Soak:
    """Load a model steadily.

    Args:
        model: The model.
        minutes: For how long.
        rate: Requests a second.
    """
    random, native, found = np.random.default_rng(0), NativeSession(model.package), Soak()
    inputs = [draw(random) for _ in range(INPUTS)]
    expected = [native.run(tokens)["last_hidden_state"] for tokens in inputs]
    began = time.monotonic()
    end = began + 60 * minutes

    async def call(number: int) -> None:
        due = began + number / rate
        while due < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            found.late += time.monotonic() - due > CALLERS / rate
            which = int(random.integers(INPUTS))
            outputs = (await model.run(inputs[which])).outputs
            right = np.allclose(outputs["last_hidden_state"], expected[which], rtol=1e-3, atol=1e-3)
            found.right += right
            found.wrong += not right
            due = max(due + CALLERS / rate, time.monotonic() - CALLERS / rate)

    async with _sampling(found, began, 60 * minutes / SAMPLES):
        await asyncio.gather(*map(call, range(CALLERS)))
    return found


async def fill_memory(accelerator: AsyncAccelerator) -> None:
    """Have the accelerator remember as many runs as it ever will."""
    async with await accelerator.load(echo_model()) as tiny:
        for _ in range(REMEMBERED // 100):
            await tiny.run_batch([{"x": [1.0]}] * 100)


@contextlib.asynccontextmanager
async def _sampling(found: Soak, began: float, interval: float) -> AsyncIterator[None]:
    async def sample() -> None:
        while True:
            minute, weights = (time.monotonic() - began) / 60, await asyncio.to_thread(weigh)
            found.minutes.append(minute)
            for name, megabytes in weights.items():
                found.series[name].append(megabytes)
            await asyncio.sleep(interval)

    task = asyncio.create_task(sample())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def plot(found: Soak, warm_up: float, path: Path) -> None:
    """Draw every series and its line into a file, of the kind that its name ends in: .svg or .png."""
    from matplotlib.figure import Figure  # only here: importing it takes a second

    figure = Figure(figsize=(9, 5), layout="constrained")
    trends = found.trends(warm_up)
    for number, who in enumerate(("browsers", "python")):
        axes = figure.add_subplot(2, 1, number + 1)
        names = [name for name in found.series if name.startswith(who)]
        for name in names:
            (line,) = axes.plot(found.minutes, found.series[name], label=name, linewidth=1)
            fitted, middle = trends[name], np.mean([m for m in found.minutes if m >= warm_up])
            ends = np.array([warm_up, found.minutes[-1]])
            height = fitted.level + fitted.slope * (ends - middle)
            label = f"{fitted.slope:+.2f} ± {fitted.margin:.2f} MB/min"
            axes.plot(ends, height, "--", color=line.get_color(), label=label)
        axes.axvspan(0, warm_up, alpha=0.1, color="gray")
        axes.set(ylabel="MB", ylim=(0, 1.1 * max(max(found.series[name]) for name in names)))
        axes.legend(loc="lower right", fontsize="small", ncols=3)
    axes.set_xlabel("minutes; gray: warm-up")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


async def main() -> int:
    """Soak, print what it showed, and return the exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--minutes", type=float, default=10.0, help="how long")
    arguments.add_argument("--rate", type=float, default=8.0, help="requests a second")
    arguments.add_argument("--platform", default="wasm", help="backend")
    arguments.add_argument("--lanes", type=int, default=2, help="lanes of the browser")
    arguments.add_argument("--plot", type=Path, default=PLOT, help="where to draw it: .svg or .png")
    chosen = arguments.parse_args()
    minutes = chosen.minutes / 10 if chosen.quick else chosen.minutes
    async with AsyncAccelerator(browser=chosen.browser, platform=chosen.platform, lanes=chosen.lanes) as accelerator:
        model = await accelerator.load(MODEL)
        await fill_memory(accelerator)
        found = await soak(model, minutes, chosen.rate)
        runs = (await accelerator.metrics())["bridge"]
        engine = await accelerator.start()
    warm_up = WARM_UP * minutes
    trends = found.trends(warm_up)
    rows = [
        [name, f"{fit.level:.0f}", f"{fit.slope:+.2f}", f"± {fit.margin:.2f}", fit.kind] for name, fit in trends.items()
    ]
    where = f"{model.backend} in {engine.engine} {engine.engine_version}"
    print(f"{minutes:g} minutes of {model.name} on {where}, {machine()}")
    print(f"{found.right} right, {found.wrong} wrong, {found.late} late; {runs['retries']} run again")
    show("Memory after the warm-up", ["", "MB", "MB/min", "95 %", ""], rows)
    plot(found, warm_up, chosen.plot)
    print(f"drawn in {chosen.plot}")
    grown = [name for name, fit in trends.items() if fit.kind == "grows" and not name.endswith("PSS")]
    return 1 if found.wrong or grown else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
