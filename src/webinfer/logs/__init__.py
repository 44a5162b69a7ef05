"""Logs as JSON, by the name that people import them from."""

from webinfer.telemetry.logs import JsonFormatter, log_json

__all__ = ["JsonFormatter", "log_json"]
