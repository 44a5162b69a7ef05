"""Docstrings of a class that mirrors another, so that ``help`` shows them in full on both."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import TypeVar

Face = TypeVar("Face", bound=type)


def mirroring(original: type) -> Callable[[Face], Face]:
    """Return a decorator that replaces docstrings such as ``Return the same as ``Original.name``; what differs.``.

    Args:
        original: The class that has the docstrings in full.
    """

    def write_out(face: Face) -> Face:
        for name, member in vars(face).items():
            reference = rf"(?:Return|Do|Yield)? ?[Tt]he same as ``{original.__name__}\.{name}``(?:; (.*))?\.\Z"
            if mirrored := re.match(reference, member.__doc__ or "", re.DOTALL):
                full, differs = inspect.getdoc(getattr(original, name)) or "", mirrored[1]
                member.__doc__ = f"{full}\n\nHere {differs}." if differs else full
        return face

    return write_out
