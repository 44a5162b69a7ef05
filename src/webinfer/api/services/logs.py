"""Logs as JSON, a line for each record."""

from __future__ import annotations

from webinfer.telemetry.logs import JsonFormatter

__all__ = ["JsonFormatter"]
