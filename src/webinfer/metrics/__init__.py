"""What happened, counted: a listener of the pool's events."""

from __future__ import annotations

from webinfer.metrics.aggregate import Aggregate, Gauges

__all__ = ["Aggregate", "Gauges"]
