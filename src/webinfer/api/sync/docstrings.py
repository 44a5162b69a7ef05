"""Docstrings of a face that has the names of another, so that ``help`` tells all where it is asked."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

Face = TypeVar("Face", bound=type)


def mirroring(original: type) -> Callable[[Face], Face]:
    """Return a decorator that writes out docstrings of the form ``As ``Original.name``; what differs.``.

    Args:
        original: The class whose docstrings are meant.
    """

    def write_out(face: Face) -> Face:
        for name, member in vars(face).items():
            reference = f"As ``{original.__name__}.{name}``"
            short = member.__doc__ or ""
            if short.startswith(reference):
                told = inspect.getdoc(getattr(original, name)) or short
                differs = short.removeprefix(reference).strip("; .")
                member.__doc__ = f"{told}\n\nHere {differs}." if differs else told
        return face

    return write_out
