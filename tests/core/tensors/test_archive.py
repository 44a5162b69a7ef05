"""Arrays are written to one file by any names, and numpy reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from webinfer.core.tensors.archive import write_arrays

NAMES = (
    "file",
    "args",
    "kwds",
    "allow_pickle",
    "self",
    "a/b",
    "/model/Gemm_output_0",
    "x.npy",
    "ä b",
    "1",
    "__proto__",
)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_written_and_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "o.npz"
    write_arrays(path, {name: np.arange(3, dtype=np.float32), "y": np.zeros((0, 2))})
    with np.load(path, allow_pickle=False) as archive:
        assert list(archive) == [name, "y"]
        assert archive[name].tolist() == [0, 1, 2]
        assert archive["y"].shape == (0, 2)


def test_text_and_scalars_are_written_without_objects(tmp_path: Path) -> None:
    write_arrays(tmp_path / "o.npz", {"s": np.array(["one", "zwölf"], object), "n": np.array(2.0)})
    with np.load(tmp_path / "o.npz", allow_pickle=False) as archive:
        assert archive["s"].tolist() == ["one", "zwölf"]
        assert archive["n"].shape == ()


def test_file_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_arrays(tmp_path / "none" / "o.npz", {})
