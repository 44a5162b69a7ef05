"""Weights of an outline: read from their files, or moved into one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

_SMALL = 1024  # bytes; what is smaller stays in the graph's message


def read_weight(tensor: TensorProto, files: Mapping[str, Path]) -> NDArray[Any]:
    """Return a weight's values.

    Args:
        tensor: The weight.
        files: Files of external data, by the location that the graph states.
    """
    if tensor.data_location != TensorProto.EXTERNAL:
        return numpy_helper.to_array(tensor)
    return np.frombuffer(_bytes(tensor, files), helper.tensor_dtype_to_np_dtype(tensor.data_type)).reshape(tensor.dims)


def move_weights(model: ModelProto, files: Mapping[str, Path], target: BinaryIO, location: str) -> None:
    """Move a model's larger weights into one file, so that no other has to be fetched.

    Args:
        model: The model, whose weights refer to the file afterwards.
        files: Files of external data, by the location that the graph states.
        target: The file.
        location: What the graph is to call it.
    """
    for tensor in model.graph.initializer:
        external = tensor.data_location == TensorProto.EXTERNAL
        data = _bytes(tensor, files) if external else tensor.raw_data
        if not external and len(data) <= _SMALL:
            continue
        offset = target.tell()
        target.write(data)
        tensor.ClearField("raw_data")
        del tensor.external_data[:]
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", offset), ("length", len(data))):
            tensor.external_data.add(key=key, value=str(value))


def _bytes(tensor: TensorProto, files: Mapping[str, Path]) -> bytes:
    reference = {entry.key: entry.value for entry in tensor.external_data}
    with files[reference["location"]].open("rb") as file:
        file.seek(int(reference.get("offset") or 0))
        # The length is optional: dtype and shape say it too.
        return file.read(int(reference.get("length") or _nbytes(tensor)))


def _nbytes(tensor: TensorProto) -> int:
    return int(np.prod(tensor.dims, dtype=np.int64)) * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
