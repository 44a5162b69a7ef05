"""The known name that is meant by an unknown one, for the remedies in errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: object, known: Iterable[str], count: int = 1) -> list[str]:
    """Return the known names that are spelled most like a name, the likest first; none where none is like it.

    Args:
        name: What was given.
        known: The names there are.
        count: How many to return at most.
    """
    return difflib.get_close_matches(str(name), list(known), count)


def suggestion(name: object, known: Iterable[str], otherwise: str = "") -> str:
    """Ask whether the nearest known name was meant.

    Args:
        name: What was given.
        known: The names there are.
        otherwise: What to say where none is like it.

    Returns:
        A sentence, ``Did you mean 'x'?``, or ``otherwise``.
    """
    near = nearest(name, known)
    return f"Did you mean {near[0]!r}?" if near else otherwise
