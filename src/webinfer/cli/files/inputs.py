"""Inputs of ``webinfer run``: text, arrays and JSON from the command line, from files and from standard input."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from webinfer.core.errors import InputError
from webinfer.core.tensors import SOUND

STDIN = "-"
_FILES = ("pixel_values", *SOUND)  # inputs that can be made from files


def read_named(pairs: Sequence[str]) -> dict[str, Any]:
    """Read inputs given as ``name=file.npy`` or ``name=JSON``. The path of an image or a recording stays a path.

    Args:
        pairs: The pairs.

    Returns:
        Inputs by name.

    Raises:
        InputError: A pair has no name, or its value is neither a file of numpy's nor JSON.
    """
    inputs = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f"--input {pair!r} has no name: write name=file.npy or name=[1, 2, 3].", input=pair)
        inputs[name] = _value(name, value)
    return inputs


def _value(name: str, value: str) -> Any:
    if value.endswith(".npy"):
        return read_array(Path(value))
    if name in _FILES and Path(value).is_file():
        return Path(value)
    return _parse(value, f"--input {name} is neither a .npy file nor")


def read_array(path: Path) -> Any:
    """Read a ``.npy`` file.

    Args:
        path: The file.

    Returns:
        The array, of the dtype and shape in the file.

    Raises:
        InputError: It cannot be read, or holds Python objects.
    """
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} is not a NumPy array: {_reason(error)}. Write one with numpy.save.", file=str(path)
        ) from error


def read_arrays(path: Path) -> dict[str, Any]:
    """Read a ``.npz`` file, with one array for each input.

    Args:
        path: The file.

    Returns:
        Arrays of the dtypes and shapes in the file, by input name.

    Raises:
        ValueError: It is no such file.
        InputError: It cannot be read, or holds Python objects.
    """
    complaint = f"{path} is not a NumPy archive: {{}}. Write one with numpy.savez."
    try:
        with path.open("rb") as file:
            is_archive = zipfile.is_zipfile(file)
        if is_archive:
            with np.load(path, allow_pickle=False) as archive:
                return dict(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(complaint.format(_reason(error)), file=str(path)) from error
    raise InputError(complaint.format("pass a single array as --input name=file.npy"), file=str(path))


def read_json(source: str) -> dict[str, Any]:
    """Read a JSON object of inputs by name.

    Args:
        source: The file; ``-`` reads standard input.

    Returns:
        Inputs by name.

    Raises:
        InputError: It cannot be read, or is no object.
    """
    try:
        text = sys.stdin.read() if source == STDIN else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{source} cannot be read: {_reason(error)}.", file=source) from error
    value = _parse(text, "Standard input is not" if source == STDIN else f"{source} is not")
    if not isinstance(value, Mapping):
        raise InputError(f'{source} has no JSON object: write {{"name": [[1, 2, 3]]}}.', file=source)
    return dict(value)


def _parse(text: str, complaint: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise InputError(f"{complaint} JSON: {shown!r} ({error}).") from error


def _reason(error: Exception) -> str:
    return (
        error.strerror
        if isinstance(error, OSError) and error.strerror
        else str(error).rstrip(".") or type(error).__name__
    )
