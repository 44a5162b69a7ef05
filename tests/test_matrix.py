"""The table of what passed where is of the reports that there are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.matrix import PROPERTY, table


def report(place: str) -> Any:
    return SimpleNamespace(user_properties=[(PROPERTY, place)])


def test_table_counts_by_browser_and_backend() -> None:
    lines = table(
        {
            "passed": [report("firefox wasm"), report("firefox wasm"), report("embedded not named"), report("")],
            "failed": [report("firefox webgpu")],
            "skipped": [report("webkit wasm")],
        }
    )
    cells = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert cells["embedded"] == ["-", "-", "-", "1", "1"]
    assert cells["firefox"] == ["2", "-", "-,", "1", "failed", "-", "2,", "1", "failed"]
    assert cells["webkit"] == ["-,", "1", "skipped", "-", "-", "-", "-,", "1", "skipped"]
