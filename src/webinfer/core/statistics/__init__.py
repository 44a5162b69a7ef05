"""What measurements say, and how sure of it one may be. Pure: numbers in, numbers out, the same ones every time.

- ``interval`` says how well one figure is known.
- ``comparison`` says whether two figures differ.
- ``steadiness`` says when a warm-up is over.
- ``changes`` says where a history broke.
- ``scaling`` says what more lanes gain, and ``limit`` why they do not gain more.
"""

from __future__ import annotations

from webinfer.core.statistics.bottleneck import Limit, Occupancy, limit
from webinfer.core.statistics.changes import Change, changes
from webinfer.core.statistics.comparison import Comparison, Severity, between, paired, severity, unpaired
from webinfer.core.statistics.interval import Interval, bootstrap, outliers, over_launches, quotient, within_launch
from webinfer.core.statistics.scaling import Scaling, scaling
from webinfer.core.statistics.steadiness import is_steady, steady_from

__all__ = [
    "Change",
    "Comparison",
    "Interval",
    "Limit",
    "Occupancy",
    "Scaling",
    "Severity",
    "between",
    "bootstrap",
    "changes",
    "is_steady",
    "limit",
    "outliers",
    "over_launches",
    "paired",
    "quotient",
    "scaling",
    "severity",
    "steady_from",
    "unpaired",
    "within_launch",
]
