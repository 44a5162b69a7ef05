"""What each precision costs and loses: models by precision by backend, each row in a browser of its own.

Size on disk, memory of the browser's process tree, time to load and to run, the cosine to full precision in native
onnxruntime, and what the model is for: rank correlation of sentence similarities (MiniLM), top-1 agreement on photos
(EfficientNet), word error rate against full precision and against the book (Whisper), perplexity (SmolLM2). Beside 3
and 2 bits stands plain rounding to the nearest. Rows are kept in a JSON file as they come, and found there next time.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import machine, parser, show
from benchmarks.precision_tasks import TASKS, Task
from webinfer import Accelerator
from webinfer.accuracy.measures import cosine
from webinfer.core.cache import cache_dir, claim
from webinfer.core.errors import WebinferError
from webinfer.core.options import BACKENDS
from webinfer.models.files.package import ModelPackage
from webinfer.models.sources.resolve import resolve
from webinfer.quantization import SCHEMES, quantize

OUT = Path("precision.json")
_BASELINES = ("q3", "q2")  # beside which plain rounding is shown
_RUNS, _QUICK = 10, 3
_COLUMNS = ["model", "precision", "backend", "disk MB", "browser MB", "load s", "run ms", "cosine", "task", "by"]


@dataclass
class Row:
    """What was measured of a model in one precision on one backend; ``error`` says why nothing was."""

    model: str
    precision: str
    method: str
    asked: str
    backend: str = ""
    took: str = ""
    nbytes: int = 0
    memory_mb: float = 0.0
    load: float = 0.0
    runs: list[float] = field(default_factory=list)
    cosine: float = 0.0
    task: dict[str, float] = field(default_factory=dict)
    verdict: str = ""
    error: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells it from others."""
        return self.model, self.precision, self.method, self.asked

    def cells(self) -> list[str]:
        """Return it as a line of the table."""
        name = self.precision + (" (nearest)" if self.method == "nearest" else "")
        size = f"{self.nbytes / 1e6:.1f}" if self.nbytes else ""
        if self.error:
            return [self.model, name, self.asked, size, "", "", "", "", self.error[:60], self.verdict]
        task = ", ".join(f"{what} {value:.3f}" for what, value in self.task.items())
        where = self.asked if self.backend == self.asked else f"{self.asked} -> {self.backend}"
        if self.took != self.precision:
            where += f", {self.took}"
        memory = f"{self.memory_mb:.0f}"
        latency = f"{statistics.median(self.runs) * 1e3:.1f}"
        cells = [size, memory, f"{self.load:.2f}", latency, f"{self.cosine:.5f}", task, self.verdict]
        return [self.model, name, where, *cells]


def assembled(task: Task, precision: str, method: str) -> tuple[Path, int]:
    """Return a directory with a model's parts in one precision, and their size."""
    full = resolve(task.reference)
    parts = [full, *(resolve(task.reference, part=part) for part in full.parts[1:])]
    made = [part if precision == "fp32" else quantize(part, precision, method=method) for part in parts]  # type: ignore[arg-type]
    nbytes = sum(part.nbytes for part in made)
    if precision == "fp32":
        return full.model.path.parent.parent, nbytes
    place = cache_dir() / "benchmarks" / f"{task.name}-{precision}-{method}-{made[0].sha256[:16]}"
    with claim(place) as work:
        if work is not None:
            for part in made:
                shutil.copytree(part.model.path.parent.parent, work, dirs_exist_ok=True)
            _merge(work, made)
    return place, nbytes


def _merge(work: Path, made: list[ModelPackage]) -> None:
    """Have the one note tell of every part."""
    note = work / "webinfer.json"
    said = json.loads(note.read_text(encoding="utf-8"))
    said["quantized"] = {part.model.path.stem: dict(part.quantized) for part in made}
    note.write_text(json.dumps(said), encoding="utf-8")


def measure(task: Task, row: Row, browser: str, runs: int, expected: dict[str, Any]) -> None:
    """Fill in a row, in a browser that holds nothing else."""
    place, row.nbytes = assembled(task, row.precision, row.method)
    with Accelerator(browser=browser, run_timeout=900, load_timeout=900, lane_capacity_mb=4000) as accelerator:
        accelerator.start()
        precision = None if row.precision == "fp32" else row.precision
        began = time.perf_counter()
        held = task.open(accelerator, place, row.asked, precision)
        row.load = time.perf_counter() - began
        result = held.run(task.inputs(held.package))
        row.backend, row.took, row.verdict = result.backend, result.precision, result.verdict.kind
        name = next(iter(expected["outputs"]))
        row.cosine = cosine(expected["outputs"][name].astype(float).ravel(), result[name].astype(float).ravel())
        few = min(runs, 1) if row.asked == "webgpu" else runs
        row.runs = [held.run(task.inputs(held.package)).times.run for _ in range(few)]
        row.task = task.measure(accelerator, held, place, row.asked, precision, expected)
        row.memory_mb = accelerator.metrics()["aggregate"]["total_memory_usage"]


def known(path: Path) -> dict[tuple[str, str, str, str], Row]:
    """Return the rows that were measured before."""
    if not path.is_file():
        return {}
    rows = [Row(**one) for one in json.loads(path.read_text(encoding="utf-8"))["rows"]]
    return {row.key: row for row in rows}


def wanted(models: list[str], precisions: list[str], backends: list[str]) -> list[Row]:
    """Return the rows to measure, in order."""
    rows = []
    for name in models:
        for precision in precisions:
            methods = ["calibrated", "nearest"] if precision in _BASELINES else ["calibrated"]
            rows += [Row(name, precision, method, backend) for method in methods for backend in backends]
    return rows


def draw(rows: list[Row], path: Path) -> None:
    """Draw loss by size, a field to each model; hollow marks are plain rounding."""
    from matplotlib.figure import Figure  # only here: importing it takes a second

    good = [row for row in rows if not row.error and row.took == row.precision]
    names = list(dict.fromkeys(row.model for row in good))
    if not names:
        return
    across = min(len(names), 3)
    down = -(-len(names) // across)
    figure = Figure(figsize=(4.6 * across, 4.2 * down), layout="constrained")
    for number, name in enumerate(names):
        axes = figure.add_subplot(down, across, number + 1)
        shown: set[tuple[str, str]] = set()
        for row in [each for each in good if each.model == name and each.precision != "fp32"]:
            if (row.precision, row.method) in shown:
                continue  # one backend's: they answer alike
            shown.add((row.precision, row.method))
            lost, rounded = max(1 - row.cosine, 1e-8), row.method == "nearest"
            axes.plot(row.nbytes / 1e6, lost, "o", color="C0", fillstyle="none" if rounded else "full")
            text = f"{row.precision} nearest" if rounded else row.precision
            left = row.precision == "q4f16"  # whose neighbour is q4
            axes.annotate(
                *(text, (row.nbytes / 1e6, lost), (-5 if left else 5, 3)),
                textcoords="offset points",
                ha="right" if left else "left",
                fontsize=8,
            )
        axes.margins(x=0.2, y=0.1)
        full = next((row.nbytes for row in good if row.model == name and row.precision == "fp32"), None)
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="MB on disk",
            title=name + (f", fp32 {full / 1e6:.0f} MB" if full else ""),
        )
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.grid(alpha=0.3, which="both")
        if number % across == 0:
            axes.set_ylabel("1 - cosine to fp32 (less is better)")
    figure.savefig(path, dpi=130)


def main() -> None:
    """Measure what is not known yet, and show it all."""
    options = parser(__doc__)
    options.add_argument("--models", nargs="+", choices=list(TASKS), default=list(TASKS), help="which models")
    options.add_argument(
        "--precisions", nargs="+", choices=list(SCHEMES), default=list(SCHEMES), help="which precisions"
    )
    options.add_argument("--backends", nargs="+", choices=BACKENDS, default=["wasm", "webnn", "webgpu"], help="which")
    options.add_argument("--out", type=Path, default=OUT, help="where rows are kept; the picture lies beside it")
    options.add_argument("--fresh", action="store_true", help="measure again what is known")
    chosen = options.parse_args()
    print(machine())
    models = chosen.models[:1] if chosen.quick else chosen.models
    rows = wanted(models, chosen.precisions, chosen.backends)
    before = known(chosen.out)
    expected: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.key in before and not chosen.fresh:
            continue
        task = TASKS[row.model]
        if task.name not in expected:
            expected[task.name] = task.expected()
        runs = _QUICK if chosen.quick else _RUNS
        _attempt(partial(measure, task, row, chosen.browser, runs, expected[task.name]), row)
        before[row.key] = row
        chosen.out.write_text(
            json.dumps({"machine": machine(), "rows": [asdict(one) for one in before.values()]}, indent=1)
        )
        print("  done:", *row.cells(), flush=True)
    mine = [before[row.key] for row in rows]
    show("Models by precision and backend", _COLUMNS, [row.cells() for row in mine])
    picture = chosen.out.with_suffix(".png")
    draw(list(before.values()), picture)
    print(f"kept in {chosen.out}, drawn in {picture}")


def _attempt(work: Callable[[], None], row: Row) -> None:
    try:
        work()
    except WebinferError as error:
        row.error = f"{type(error).__name__}: {str(error).splitlines()[0]}"


if __name__ == "__main__":
    np.seterr(all="ignore")  # what a broken precision answers is measured, whatever it is
    main()
