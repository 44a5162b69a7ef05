"""An output that stays in the browser, for any thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.api.sync.docstrings import mirroring
from webinfer.api.sync.portal import Portal
from webinfer.inference.residents.tensor_handle import AsyncTensorHandle


@mirroring(AsyncTensorHandle)
class TensorHandle:
    """An output that stays on the lane that computed it. Made by ``Model.run`` with ``keep``.

    Another run on the same accelerator takes it as an input, and then it does not cross to Python and back. The tensor
    is freed once nothing in Python refers to its handle any more, or by ``close``. Every method may be called from any
    thread.
    """

    def __init__(self, inner: AsyncTensorHandle, portal: Portal) -> None:
        self._inner = inner
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._inner).replace("AsyncTensorHandle", "TensorHandle")

    @property
    def inner(self) -> AsyncTensorHandle:
        """The asynchronous handle, which lives on the accelerator's own loop."""
        return self._inner

    @property
    def name(self) -> str:
        """The output's name."""
        return self._inner.name

    @property
    def model(self) -> str:
        """Name of the model that computed it."""
        return self._inner.model

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its type."""
        return self._inner.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self._inner.shape

    @property
    def nbytes(self) -> int:
        """As ``AsyncTensorHandle.nbytes``."""
        return self._inner.nbytes

    @property
    def lane(self) -> str:
        """The lane that holds it, such as ``b1.1``."""
        return self._inner.lane

    @property
    def closed(self) -> bool:
        """As ``AsyncTensorHandle.closed``."""
        return self._inner.closed

    def read(self, timeout: float | None = None) -> NDArray[Any]:
        """Return what ``AsyncTensorHandle.read`` returns."""
        return self._portal.call(self._inner.read(timeout))

    def close(self) -> None:
        """As ``AsyncTensorHandle.close``."""
        self._inner.close()


def unwrap(inputs: Any) -> Any:
    """Return a request's inputs with asynchronous handles.

    Args:
        inputs: As ``Model.run`` takes them.
    """
    if isinstance(inputs, Mapping) and any(isinstance(value, TensorHandle) for value in inputs.values()):
        return {name: value.inner if isinstance(value, TensorHandle) else value for name, value in inputs.items()}
    return inputs
