"""When a warm-up is over."""

from __future__ import annotations

import numpy as np

from webinfer.core.statistics.interval import Values

WINDOW = 5
TOLERANCE = 0.05
_ENOUGH = 1.1  # times the least error: a later cut that gains less leaves out runs for nothing


def is_steady(times: Values, window: int = WINDOW, tolerance: float = TOLERANCE) -> bool:
    """Return whether the latest runs take as long as those before them.

    The medians of the last two windows must be within ``tolerance`` of each other, or as near as their own scatter
    lets one expect.

    Args:
        times: Times of runs, in order.
        window: Runs in a window.
        tolerance: Relative difference that counts as none.
    """
    if len(times) < 2 * window:
        return False
    before, now = (np.median(times[at : at + window]) for at in (len(times) - 2 * window, len(times) - window))
    recent = np.asarray(times[-2 * window :], float)
    scatter = float(np.median(np.abs(recent - np.median(recent))) / np.median(recent))
    return bool(abs(now / before - 1) <= max(tolerance, scatter))


def steady_from(times: Values) -> int:
    """Return how many runs of a series to leave out, so that what is left says most about the steady state.

    The marginal standard error rule (White, 1997, "An effective truncation heuristic for bias reduction in simulation
    output", Simulation 69): the earliest cut in the first half that makes the standard error of the rest's mean as good
    as smallest. Over logarithms, for times are skewed.

    Args:
        times: Times of runs, in order.
    """
    logs = np.log(np.asarray(times, float))
    if not len(logs):
        return 0
    errors = np.array([logs[cut:].std() / np.sqrt(len(logs) - cut) for cut in range(len(logs) // 2 + 1)])
    return int(np.argmax(errors <= _ENOUGH * errors.min()))
