"""Weights in CTranslate2's binary format: a list of named arrays, little-endian, version 6 of it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import InvalidModel

_DTYPES = {0: "float32", 1: "int8", 2: "int16", 3: "int32", 4: "float16"}  # by number, in the format
_VERSION = 6

Arrays = Callable[[str], NDArray[Any]]
"""Takes an array's name; returns its values."""


def ctranslate2_arrays(path: Path) -> Arrays:
    """Index the arrays of a file, each mapped from disk when it is asked for.

    Args:
        path: The file, ``model.bin``.

    Returns:
        Arrays by their names in the file.

    Raises:
        InvalidModel: The file is of another format or version, or cut off.
    """
    index: dict[str, tuple[np.dtype[Any], tuple[int, ...], int]] = {}
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            (version,) = _numbers(file, "I")
            if version != _VERSION:
                raise InvalidModel(f"{path.name} is of version {version} of CTranslate2's format, not {_VERSION}.")
            _text(file)  # the architecture's name
            _, count = _numbers(file, "II")  # its revision, and how many arrays there are
            for _ in range(count):
                name = _text(file)
                (rank,) = _numbers(file, "B")
                shape = _numbers(file, f"{rank}I")
                kind, nbytes = _numbers(file, "BI")
                index[name] = (np.dtype(_DTYPES[kind]), shape, file.tell())
                file.seek(nbytes, 1)
            for _ in range(_numbers(file, "I")[0]):
                alias, name = _text(file), _text(file)
                index[alias] = index[name]
        except (struct.error, KeyError, UnicodeDecodeError) as error:
            raise InvalidModel(f"{path.name} is not in CTranslate2's format, or cut off: {error}.") from error
        if file.tell() != size:
            raise InvalidModel(f"{path.name} has {size:,} bytes, and its arrays end at {file.tell():,}.")

    def array(name: str) -> NDArray[Any]:
        dtype, shape, offset = index[name]
        return np.memmap(path, dtype, "r", offset, shape)

    return array


def _numbers(file: IO[bytes], form: str) -> tuple[int, ...]:
    return struct.unpack(f"<{form}", file.read(struct.calcsize(f"<{form}")))


def _text(file: IO[bytes]) -> str:
    (length,) = _numbers(file, "H")
    return file.read(length).rstrip(b"\0").decode()
