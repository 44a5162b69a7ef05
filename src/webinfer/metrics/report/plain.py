"""Findings as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date
from typing import Any


def dumps(value: Any, indent: int | None = None) -> str:
    """Write values as JSON: times in ISO 8601 and UTC, numbers that are none as null."""
    return json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat() + "Z"
    return value
