"""Reading GGUF: llama.cpp's files of weights, with the tokenizer among their metadata.

The form is that of ggml's ``docs/gguf.md``, version 3; the blocks are those of its ``ggml-quants.h``.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import InvalidModel

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_BLOCK = 32  # weights
_ALIGNMENT = 32


@dataclass(frozen=True, slots=True)
class _Form:
    """A storage form: bytes of a block, weights of a block, and a function from blocks to weights."""

    nbytes: int
    weights: int
    read: Callable[[NDArray[np.uint8]], NDArray[Any]]


def _q4_1(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return ``scale * q + least``. A block has both as float16, then 16 bytes: 16 low halves, then 16 high halves."""
    scale, least = (blocks[:, at : at + 2].view("<f2").astype(np.float32) for at in (0, 2))
    packed = blocks[:, 4:]
    return np.concatenate([packed & 15, packed >> 4], axis=1) * scale + least


def _q8_0(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return ``scale * q``. A block has the scale as float16, then 32 signed bytes."""
    scale = blocks[:, :2].view("<f2").astype(np.float32)
    return np.asarray(blocks[:, 2:].view(np.int8) * scale)


_FORMS = {
    0: _Form(4, 1, lambda blocks: blocks.view("<f4")),
    1: _Form(2, 1, lambda blocks: blocks.view("<f2")),
    3: _Form(4 + _BLOCK // 2, _BLOCK, _q4_1),
    8: _Form(2 + _BLOCK, _BLOCK, _q8_0),
}


class Gguf:
    """A GGUF file, its weights read when they are asked for.

    Args:
        path: The file.

    Attributes:
        metadata: Values by key, such as ``llama.block_count``.

    Raises:
        InvalidModel: It is no GGUF of version 3.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 0
        if self._data[:4] != b"GGUF" or self._take("xxxxI") != 3:
            raise InvalidModel(f"{path} is no GGUF file of version 3: fetch it again.", path=str(path))
        count, keys = self._take("Q"), self._take("Q")
        self.metadata: dict[str, Any] = {self._string(): self._value(self._take("I")) for _ in range(keys)}
        self._tensors = dict(self._tensor() for _ in range(count))
        alignment = int(self.metadata.get("general.alignment", _ALIGNMENT))
        # The tensors' data begin at the next multiple of the alignment.
        self._start = self._at + -self._at % alignment

    def __repr__(self) -> str:
        return f"<Gguf {self.path.name} tensors={len(self._tensors)}>"

    def read(self, name: str) -> NDArray[np.float32]:
        """Return a tensor's values, with its axes in NumPy's order.

        Args:
            name: Name of the tensor in the file.

        Returns:
            float32 array of the tensor's shape; quantized values are restored.

        Raises:
            InvalidModel: There is no such tensor, or it is stored in a form that is not known here.
        """
        if name not in self._tensors:
            raise InvalidModel(f"{self.path} has no tensor {name!r}.", path=str(self.path))
        shape, kind, offset = self._tensors[name]
        form = _FORMS.get(kind)
        if form is None:
            raise InvalidModel(
                f"{self.path} stores {name} in ggml's type {kind}, which is not read.", path=str(self.path)
            )
        blocks = int(np.prod(shape)) // form.weights
        stored = np.frombuffer(self._data, np.uint8, blocks * form.nbytes, self._start + offset)
        return np.asarray(form.read(stored.reshape(blocks, form.nbytes)), np.float32).reshape(shape)

    def _take(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"<{form}", self._data, self._at)
        self._at += struct.calcsize(f"<{form}")
        return value

    def _string(self) -> str:
        length = self._take("Q")
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            inner, length = self._take("I"), self._take("Q")
            return [self._value(inner) for _ in range(length)]
        return self._take(_NUMBERS[kind])

    def _tensor(self) -> tuple[str, tuple[tuple[int, ...], int, int]]:
        name = self._string()
        sizes = [self._take("Q") for _ in range(self._take("I"))]
        # ggml lists the axis whose elements are neighbours first; NumPy has it last.
        return name, (tuple(reversed(sizes)), self._take("I"), self._take("Q"))
