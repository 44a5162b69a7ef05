"""Logs as JSON: one object per line, for programs that collect them."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from typing import Any, TextIO

from pythonjsonlogger.core import BaseJsonFormatter

from webinfer.core.json import clean, plain, to_text


class JsonFormatter(BaseJsonFormatter):
    """Writes a record as one JSON object: ``time``, ``level``, ``logger``, ``message``, and whatever came as ``extra``.

    An exception is added as ``error``: its type, its message, its stack, and the stable ``code`` of one of ours. The
    library finds what came as extra. Its own writer refuses NaN, keys that are no text, and what holds itself or cannot
    be shown; all that is written here as far as it can be.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line.

        Args:
            record: The record.
        """
        return super().format(logging.makeLogRecord({**record.__dict__, "msg": _message(record), "args": None}))

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Collect the fields of a line.

        Args:
            log_data: Where they go.
            record: What is logged.
            message_dict: What the library made of the record's exception and stack.
        """
        stack = message_dict.pop("exc_info", None)
        extra: dict[str, Any] = {}
        super().add_fields(extra, record, message_dict)
        log_data |= {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.message,
            "pid": record.process,
        }
        log_data |= {name: value for name, value in extra.items() if name not in log_data}
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            log_data["error"] = {
                "type": type(error).__name__,
                "message": to_text(error),
                "code": getattr(error, "code", None),
                "stack": stack,
            }

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Write the fields as one object, in ASCII: the stream may have any encoding.

        Args:
            log_data: The fields.

        Returns:
            A JSON object on one line.
        """
        return (
            "{" + ", ".join(f"{_to_json(to_text(name))}: {_to_json(value)}" for name, value in log_data.items()) + "}"
        )


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # its arguments do not fit, or cannot be written as text
        return f"{to_text(record.msg)} {to_text(record.args)}"


def _to_json(value: Any) -> str:
    """Return a value as JSON, whatever it is: logging must not fail."""
    try:
        return json.dumps(plain(value), allow_nan=False)
    except Exception:  # it holds itself, or what it holds fails
        return json.dumps(clean(to_text(value)))


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
