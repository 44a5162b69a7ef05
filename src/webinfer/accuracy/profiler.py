"""Where native onnxruntime spends its time on a model, by operator, as its own profiler tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from webinfer.accuracy.native import NativeSession
from webinfer.core.placement import Operator
from webinfer.models.files.package import ModelPackage


def profile_native(package: ModelPackage, inputs: Any, runs: int = 3) -> tuple[Operator, ...]:
    """Run a model natively with the profiler on.

    Args:
        package: The model.
        inputs: As ``tensors.prepare`` takes them.
        runs: Runs that count; one more goes before them.

    Returns:
        Each operator's nodes and seconds in their kernels in one run, the most first.

    Raises:
        LoadFailed: onnxruntime refused the model.
        RunFailed: onnxruntime failed.
    """
    session = NativeSession(package, profile=True)
    for _ in range(runs + 1):
        session.run(inputs)
    return _sums(session.end_profile(), runs)


def _sums(events: Sequence[dict[str, Any]], runs: int) -> tuple[Operator, ...]:
    marks = [event["ts"] for event in events if event.get("name") == "model_run"]
    since = sorted(marks)[1] if len(marks) > 1 else 0  # the first run also fills caches
    spent: Counter[str] = Counter()
    nodes: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and event["ts"] >= since:
            spent[event["args"]["op_name"]] += event["dur"]
            nodes[event["args"]["op_name"]] += 1
    return tuple(
        Operator(name=name, backend="native", nodes=nodes[name] // runs, seconds=total / 1e6 / runs)
        for name, total in spent.most_common()
    )
