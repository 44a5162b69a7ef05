"""A value of a graph: what is known of it without running anything."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

Shape = tuple[int | None, ...]


class Value(NamedTuple):
    """What is known of a value: its type, its shape, whether it is a constant, and which, if that is small."""

    dtype: str
    shape: Shape | None = None
    constant: bool = False
    array: NDArray[Any] | None = None
