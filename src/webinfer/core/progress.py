"""Progress of what takes seconds, for a caller that draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a long task.

    Attributes:
        stage: What is being done, in words: ``"fetch chromium"``, ``"load model"``.
        done: Bytes done so far.
        total: Bytes in all, or ``None`` where that is not known.
    """

    stage: str
    done: int
    total: int | None = None


ProgressCallback = Callable[[Progress], None]
