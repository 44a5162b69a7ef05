"""Every example runs and prints what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PRINTS = {
    "any_model.py": ["wasm", "[[0.09  0.245 0.665]]"],
    "many_at_once.py": ["32 answers from lanes b1.", "ms a sentence"],
    "photo.py": ["wall clock"],
    "similarity.py": ["Refunds are paid within five days."],
}


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PRINTS)


@pytest.mark.browser
@pytest.mark.parametrize("name", PRINTS)
def test_example_runs(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / name)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for words in PRINTS[name]:
        assert words in ran.stdout
    if name == "similarity.py":
        assert ran.stdout.splitlines()[0].endswith(PRINTS[name][0])
