"""Logs as JSON: one object per line, for programs that collect them."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from typing import Any, TextIO

from webinfer.core.json import clean, plain, told

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object: ``time``, ``level``, ``logger``, ``message``, and whatever came as ``extra``.

    An exception is added as ``error``: its type, its message, its stack, and the stable ``code`` of one of ours.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            "pid": record.process,
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _OWN and name not in line}
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["error"] = {
                "type": type(error).__name__,
                "message": told(error),
                "code": getattr(error, "code", None),
                "stack": self.formatException(record.exc_info),
            }
        return "{" + ", ".join(f"{_written(told(name))}: {_written(value)}" for name, value in line.items()) + "}"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # its arguments do not fit, or fail to tell themselves
        return f"{told(record.msg)} {told(record.args)}"


def _written(value: Any) -> str:
    """Write a value as JSON in ASCII, whatever it is: the stream may have any encoding, and logging must not fail."""
    try:
        return json.dumps(plain(value), allow_nan=False)
    except Exception:  # it holds itself, or what it holds fails
        return json.dumps(clean(told(value)))


def log_json(level: int | str = logging.INFO, stream: TextIO | None = None) -> logging.Handler:
    """Have webinfer's own logs written as JSON lines.

    Args:
        level: The least that is written.
        stream: Where to; ``None`` for standard error.

    Returns:
        The handler, for who wants to remove it.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("webinfer")
    logger.addHandler(handler)
    logger.setLevel(level)
    return handler
