"""What the parts of a pool ask of the pool."""

from __future__ import annotations

from typing import Protocol

from webinfer.pool.events import Event


class Owner(Protocol):
    """The pool, as its parts see it."""

    def announce(self, event: Event) -> None:
        """Tell every listener of an event.

        Args:
            event: The event.
        """

    def advance(self) -> None:
        """Plan anew, since something changed that a plan may depend on."""
