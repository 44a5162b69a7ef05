"""The identity of a lane."""

from __future__ import annotations

from typing import NamedTuple


class LaneId(NamedTuple):
    """Which lane of which browser; shown as ``b1.2``.

    Attributes:
        browser: Id of the browser, ``b1``.
        number: The lanes of a browser are counted from 1, those that are gone included.
    """

    browser: str
    number: int

    def __str__(self) -> str:
        return f"{self.browser}.{self.number}"
