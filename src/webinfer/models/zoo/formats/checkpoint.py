"""Reading the checkpoints that PyTorch wrote before version 1.6, without PyTorch and without running what is in them.

Such a file is five pickles and the raw values: a magic number, a protocol version, facts about the writing machine,
the tensors by name, the keys of their storages; then, for each key in order, the storage's length as u64 and
its values (``torch/serialization.py``, ``_legacy_load``).
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8"}


def read_checkpoint(file: IO[bytes]) -> dict[str, NDArray[Any]]:
    """Read a state dictionary.

    Args:
        file: The checkpoint, open for reading bytes.

    Returns:
        The tensors by parameter name, in the dtypes and shapes that were saved.

    Raises:
        ValueError: It is not such a file, or holds something other than tensors.
    """
    reader = _Reader(file)
    if reader.load() != _MAGIC or _Reader(file).load() != _PROTOCOL:
        raise ValueError("This is no checkpoint of PyTorch's from before version 1.6.")
    _Reader(file).load()
    reader = _Reader(file)
    tensors: dict[str, _Tensor] = reader.load()
    values = {}
    for key in _Reader(file).load():
        dtype, count = reader.storages[key], int.from_bytes(file.read(8), "little")
        values[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    return {name: tensor.of(values[tensor.storage]) for name, tensor in tensors.items()}


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage; offset and strides count elements."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        # ``as_strided`` checks nothing, so a hostile file could read beyond the storage.
        steps = [stride * values.itemsize for stride in self.strides]
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        if not 0 <= self.offset <= last < len(values) or min(steps, default=0) < 0:
            raise ValueError("A tensor of the checkpoint lies outside its storage.")
        return np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, steps).copy()


class _Reader(pickle.Unpickler):
    """An unpickler that knows only tensors, so that a file cannot call other code."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.storages: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _STORAGES:
            return np.dtype(_STORAGES[name])
        raise ValueError(f"The checkpoint names {module}.{name}, which is neither a tensor nor a dictionary of them.")

    def persistent_load(self, pid: Any) -> str:
        """Return a storage's key; its values come after all pickles."""
        _, dtype, key, *_ = pid
        self.storages[key] = dtype
        return str(key)


def _tensor(storage: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))
