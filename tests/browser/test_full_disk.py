"""A disk that is full costs no inference: results go on, and their rows wait for room or are counted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from tests.browser.conftest import Save, start

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a small disk is made with Linux's tmpfs")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_full_disk_loses_no_inference_and_no_row_that_finds_room_later(small_disk: Path, save: Save) -> None:
    ballast = small_disk / "ballast"
    with start("embedded", db_path=small_disk / "r.duckdb", platform="wasm") as accelerator:
        model = accelerator.load(save(helper.make_node("Neg", ["x"], ["y"])))
        before = model.run_batch([np.ones(3, np.float32)] * 10)
        (count,) = accelerator.query("SELECT count(*) AS rows FROM inferences")
        with pytest.raises(OSError, match="No space left"):
            fill(ballast)
        during = [model.run(np.full(3, number, np.float32)) for number in range(50)]
        assert accelerator.query("SELECT count(*) AS rows FROM inferences") == [count]
        ballast.unlink()
        after = model.run(np.ones(3, np.float32))
        found = accelerator.query("SELECT total FROM inferences ORDER BY id")
    assert [result.outputs["y"][0] for result in during] == [-number for number in range(50)]
    assert count["rows"] == 10
    totals = [result.times.total for result in (*before, *during, after)]
    assert sorted(row["total"] for row in found) == sorted(totals)
