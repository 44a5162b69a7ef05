"""Docstrings of a class that mirrors another, so that ``help`` shows them in full on both."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

Face = TypeVar("Face", bound=type)


def mirroring(original: type) -> Callable[[Face], Face]:
    """Return a decorator that writes out docstrings that point to the original, and adds what differs.

    Args:
        original: The class that has the docstrings in full.
    """

    def write_out(face: Face) -> Face:
        for name, member in vars(face).items():
            short, reference = member.__doc__ or "", f"``{original.__name__}.{name}``"
            for form in (f"As {reference}", f"Return what {reference} returns"):
                if short.startswith(form):
                    whole = inspect.getdoc(getattr(original, name)) or short
                    differs = short.removeprefix(form).strip("; .")
                    member.__doc__ = f"{whole}\n\nHere {differs}." if differs else whole
        return face

    return write_out
