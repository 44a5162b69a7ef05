"""Named arrays in a file: the way of canaries and their answers between processes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays to a file, under whatever names they have. Values that are no arrays are left out.

    Args:
        path: The file.
        arrays: Arrays by name. Arrays of strings are written as such.
    """
    tensors = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    with path.open("wb") as file:
        header = [[name, array.dtype.kind == "O"] for name, array in tensors.items()]
        file.write(json.dumps(header).encode() + b"\n")
        for array in tensors.values():
            np.save(file, array.astype(str) if array.dtype.kind == "O" else array, allow_pickle=False)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file that ``write_arrays`` wrote, by name.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is something else.
    """
    with path.open("rb") as file:
        header = json.loads(file.readline())
        arrays = [(name, is_text, np.load(file, allow_pickle=False)) for name, is_text in header]
    return {name: array.astype(object) if is_text else array for name, is_text, array in arrays}
