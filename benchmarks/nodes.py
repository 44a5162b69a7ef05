"""ONNX's own backend node tests through ``Accelerator()``: as its users run models, or with a backend named.

Each test's model is loaded as it is, runs on the test's first inputs, and is held against the outputs that come with
it. Where native onnxruntime answers otherwise than the test asks, the test counts for nobody. Verdicts go to a file as
they come, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.measure import machine, parser, show
from webinfer import Accelerator
from webinfer.accuracy.atlas.trials.node_tests import collected
from webinfer.accuracy.atlas.trials.trial import OperatorTrial
from webinfer.api.atlas.surveyor import find_fault, judge, native_answer

VERDICTS = ("right", "wrong", "refused", "lost")


def is_right_natively(trial: OperatorTrial) -> bool:
    """Return whether native onnxruntime answers what the test asks for."""
    answer = native_answer(trial)
    return answer is not None and find_fault(answer, trial.expected or {}) is None


def run(browser: str, backend: str, rows: dict[str, dict[str, str]], path: Path, todo: list[OperatorTrial]) -> None:
    """Run the tests that have no verdict yet."""
    options: dict[str, Any] = {} if backend == "default" else {"platform": backend, "accuracy": "off"}
    name = f"{browser} {backend}"
    with (
        tempfile.TemporaryDirectory() as folder,
        Accelerator(browser=browser, allow_nan=True, **options) as accelerator,
    ):
        for number, trial in enumerate(todo):
            if f"{name} {trial.name}" in rows:
                continue
            row = {"native": "right" if is_right_natively(trial) else "not"}
            if row["native"] == "right":
                verdict = judge(accelerator, trial, Path(folder))
                assert verdict is not None
                row |= {"verdict": {"kills": "lost", "fallback": "right"}.get(verdict.outcome, verdict.outcome)}
                row |= {"note": verdict.note or ""}
            rows[f"{name} {trial.name}"] = row
            if number % 20 == 0:
                save(path, rows)
                print(f"{name}: {number + 1} of {len(todo)}", flush=True)
    save(path, rows)


def save(path: Path, rows: dict[str, dict[str, str]]) -> None:
    """Write the verdicts."""
    path.write_text(json.dumps(rows, indent=0, sort_keys=True))


def report(rows: dict[str, dict[str, str]]) -> None:
    """Print a line for each place, and what is wrong or lost."""
    counts: dict[str, Counter[str]] = {}
    for key, row in rows.items():
        place = key.rpartition(" ")[0]
        counts.setdefault(place, Counter())[row.get("verdict", "not by native")] += 1
        if row.get("verdict") in ("wrong", "lost"):
            print(f"{key}: {row['verdict']}: {row['note']}")
    table = [
        [place, str(sum(count[verdict] for verdict in VERDICTS)), *(str(count[verdict]) for verdict in VERDICTS)]
        for place, count in counts.items()
    ]
    show(f"ONNX's node tests ({machine()})", ["browser and backend", "native is right", *VERDICTS], table)


def options_of() -> argparse.Namespace:
    """Return the command line's options."""
    arguments = parser(__doc__)
    arguments.add_argument("--backends", nargs="+", default=["default"], help="default, or backends by name")
    arguments.add_argument("--out", type=Path, default=Path("nodes.json"), help="file of verdicts, to go on from")
    arguments.add_argument("--part", default="0/1", help="the tests of this part alone, such as 0/2")
    arguments.add_argument("--report", action="store_true", help="only print the file's table")
    return arguments.parse_args()


def main() -> None:
    """Run what has no verdict yet, and print the table."""
    options = options_of()
    rows = json.loads(options.out.read_text()) if options.out.exists() else {}
    if not options.report:
        part, parts = map(int, options.part.split("/"))
        todo = list(collected())[part::parts]
        for backend in options.backends:
            run(options.browser, backend, rows, options.out, todo[:60] if options.quick else todo)
    report(rows)


if __name__ == "__main__":
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    main()
