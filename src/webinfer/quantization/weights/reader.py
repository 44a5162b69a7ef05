"""A model whose weights are read one at a time, so that its size does not matter."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, external_data_helper, helper, numpy_helper

from webinfer.core.errors import NotQuantizable
from webinfer.models.graphs.outline import outline
from webinfer.quantization.weights.rewrite import hoist
from webinfer.quantization.weights.rounding import Array
from webinfer.quantization.weights.targets import Target

_SELF = "weights.onnx"  # what the outline calls the model's own file
_WHOLE = 1_800_000_000  # bytes; beyond it a model's weights lie beside it, for a message holds 2^31 bytes at most


class Weights:
    """The weights of an ONNX file.

    Args:
        path: The file.

    Attributes:
        model: The model, but for its larger weights, which may be changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model: ModelProto = outline(path, _SELF)
        hoist(self.model.graph)
        self._tensors = {tensor.name: tensor for tensor in self.model.graph.initializer}

    @property
    def opset(self) -> int:
        """Version of the operators."""
        return opset_of(self.model)

    def read(self, name: str) -> Array:
        """Return a weight as a copy of its own, in its own dtype.

        Args:
            name: Name of the weight.
        """
        tensor = self._tensors[name]
        if tensor.data_location != TensorProto.EXTERNAL:
            return numpy_helper.to_array(tensor).copy()
        entries = {entry.key: entry.value for entry in tensor.external_data}
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        file = self.path if entries["location"] == _SELF else self.path.parent / entries["location"]
        count = math.prod(tensor.dims)
        array = np.fromfile(file, dtype=dtype, count=count, offset=int(entries.get("offset", 0)))
        return array.reshape(tuple(tensor.dims))

    def matrix(self, target: Target) -> Array:
        """Return a weight as float32, with what is added up along the last axis: N rows of K, or filters as they are.

        Args:
            target: The weight.

        Raises:
            NotQuantizable: It holds NaN or infinities.
        """
        array = self.read(target.name).astype(np.float32)
        if not np.isfinite(array).all():
            count = int((~np.isfinite(array)).sum())
            raise NotQuantizable(
                f"The weight {target.name!r} holds {count:,} NaN or infinite values, which no block of few bits can "
                "hold: train or export the model again.",
                reason="not_finite",
                weight=target.name,
                count=count,
            )
        return np.ascontiguousarray(array.T) if target.role == "columns" else array

    @property
    def files(self) -> dict[str, Path]:
        """The files that hold the weights, by the names that ``model`` has for them."""
        return {_SELF: self.path} | {location: self.path.parent / location for location in self._locations()}

    def save(self, path: Path) -> list[str]:
        """Write the model as it is now; weights that were external stay in their files, which are laid beside it.

        Args:
            path: Where it goes.

        Returns:
            The names of the files beside it.

        Raises:
            OSError: It cannot be written.
        """
        inside = sum(tensor.ByteSize() for tensor in self.model.graph.initializer)
        own = [tensor for tensor in self.model.graph.initializer if _location(tensor) == _SELF]
        for tensor in own:
            array = self.read(tensor.name)
            inside += array.nbytes
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        beside = sorted(self._locations())
        if inside > _WHOLE:
            beside.append(f"{path.name}_data")
            external_data_helper.convert_model_to_external_data(
                self.model, location=beside[-1], size_threshold=1024, convert_attribute=False
            )
            self.model = external_data_helper.write_external_data_tensors(self.model, str(path.parent))
        path.write_bytes(self.model.SerializeToString())
        for location in self._locations() & set(beside):
            if not (path.parent / location).exists():
                _link(self.path.parent / location, path.parent / location)
        return beside

    def _locations(self) -> set[str]:
        locations = {_location(tensor) for tensor in self.model.graph.initializer}
        return locations - {"", _SELF}


def opset_of(model: ModelProto) -> int:
    """Return the version of a model's operators.

    Args:
        model: The model.
    """
    return max((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), default=1)


def _location(tensor: TensorProto) -> str:
    if tensor.data_location != TensorProto.EXTERNAL:
        return ""
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        os.link(source.resolve(), target)
        return
    shutil.copyfile(source, target)
