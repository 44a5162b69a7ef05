"""When a browser that did not start is tried again: progressive back-off, and a circuit breaker for each browser."""

from __future__ import annotations

from dataclasses import dataclass

CAP = 15.0
"""Seconds that a back-off grows to at most, the guide's figure."""


def backoff(failures: int) -> float:
    """Return the seconds to wait after that many failures in a row: 1, 2, 4, 8, then ``CAP``; 0 after none.

    Args:
        failures: Failures in a row.
    """
    return min(2.0 ** min(failures - 1, 10), CAP) if failures > 0 else 0.0  # 2.0 ** 1024 would overflow


@dataclass(frozen=True, slots=True)
class Breaker:
    """What a browser's launches have come to.

    Closed, it is started whenever it is wanted. One failure opens it, for the time of the back-off: others take its
    place. After that it is half-open: one launch may try again, while the others stay in its place. Its success closes
    the breaker, its failure opens it for longer.

    Attributes:
        failures: Launches in a row that failed.
        until: When it is no longer open, on the caller's clock.
        cause: Code of the last failure.
    """

    failures: int = 0
    until: float = 0.0
    cause: str = ""

    def failed(self, now: float, cause: str) -> Breaker:
        """Return the breaker after a launch that failed.

        Args:
            now: The time, on the caller's clock.
            cause: Code of the failure.
        """
        failures = self.failures + 1
        return Breaker(failures, now + backoff(failures), cause)
