"""What a report says in plain words: the machine, the method, and what its figures do not show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METHOD = (
    "Every figure was recorded while webinfer ran models in real browsers; nothing is estimated or simulated. "
    "Percentiles are of requests, not of averages.",
    "Latency is the time from asking to answer. It is made up of the queue (until the request is sent to a "
    "lane), the wait (in the lane, behind an earlier request), the run (inside ONNX Runtime Web) and the "
    "transfer (the rest of the round trip).",
    "Throughput is items per second while at least one request was under way; pauses do not count.",
    "A verdict says what the browser's report proves about hardware: software means that the CPU did the work, "
    "whatever the backend is called.",
    "Concurrency is read from the record by Little's law, in windows of a second or of five median requests: "
    "the summed times of the requests answered in a window, divided by its length, are the requests that were "
    "under way.",
    "Of many samples of memory those are shown that were the first, the lowest or the highest of their hundredth.",
    "First inferences are the first of each session; what comes later is the median of all others.",
    "A difference from an earlier run is one of medians, of one process each: launches differ among themselves "
    "by more than their requests do. `webinfer compare` judges benchmarks of several launches.",
)

_SECTION_NAMES = {
    "accuracy": "checks of accuracy",
    "benched": "measured configurations",
    "earlier": "comparisons with an earlier run",
    "failures": "kinds of failures",
    "faults": "kinds of faults",
    "first": "first inferences",
    "loads": "kinds of loads",
    "native": "comparisons with native onnxruntime",
    "placement": "placements",
    "scaling": "levels of concurrency",
}
"""Sections whose rows have another name."""


def machine(findings: Mapping[str, Any]) -> str:
    """Return a sentence for each machine.

    Args:
        findings: What ``gather`` returned.
    """
    machines = [
        f"{row['cpu']}, {row['cores']} cores, {row['memory_mb'] / 1e3:.0f} GB of memory, {row['os']}, "
        f"Python {row['python']}"
        for row in findings["machines"]
        if row["memory_mb"] is not None
    ]
    return "; ".join(machines) or "not recorded"


def notes(findings: Mapping[str, Any]) -> list[str]:
    """Say what a reader must know before believing the figures.

    Args:
        findings: What ``gather`` returned.

    Returns:
        A sentence or two each.
    """
    summary, sentences = findings["summary"], []
    if findings["more"]:
        left = ", ".join(f"{count:,} more {_SECTION_NAMES.get(name, name)}" for name, count in findings["more"].items())
        sentences.append(f"Not all is listed, but counted: there are {left}.")
    if not summary["requests"] and findings["benched"]:
        sentences.append("Benchmarks alone are in this database: of no single request a row was kept.")
    elif not summary["requests"] and findings["failures"]:
        sentences.append("Nothing was measured: every benchmark in this database failed. Why is told below.")
    elif not summary["requests"]:
        nothing = "No request was recorded yet: there is nothing to report. Run a model with db_path set."
        return [nothing, *sentences]
    configurations = [*findings["configurations"], *findings["benched"]]
    random = sorted({row["model_name"].removeprefix("random:") for row in configurations if row["weights"] == "random"})
    if random:
        named = ", ".join(random)
        sentences.append(f"Random weights: {named}. Their speed is the architecture's; their answers mean nothing.")
    kinds = {kind for row in configurations for kind in (row["verdict"] or "").split(", ") if kind}
    if kinds and "hardware" not in kinds:
        sentences.append("No hardware acceleration was at work: every verdict is " + ", ".join(sorted(kinds)) + ".")
    if len(findings["machines"]) > 1:
        sentences.append(
            "The runs are of several machines: configurations that ran on different ones cannot be compared."
        )
    if summary["dropped"]:
        sentences.append(f"{summary['dropped']:,} rows could not be recorded, so counts are too low.")
    if summary["loss"]:
        sentences.append(f"Recording is disturbed: {summary['loss']}")
    few = [row["label"] for row in findings["configurations"] if row["requests"] < 20]
    if few:
        more = " and others" if len(few) > 6 else ""
        sentences.append(f"Fewer than 20 requests, so the tails mean little: {'; '.join(few[:6])}{more}.")
    return sentences
