"""Values as JSON can hold them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any


def dumps(value: Any, indent: int | None = None) -> str:
    """Write values as JSON: times in ISO 8601 and UTC, numbers that are none as null."""
    return json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: what it has no word for as text, numbers that are none as null."""
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean(told(key)): plain(one) for key, one in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, date):
        return value.isoformat() + ("Z" if isinstance(value, datetime) and value.tzinfo is None else "")
    return clean(told(value))


def told(value: Any) -> str:
    """Return anything as text, also what fails to tell itself."""
    for tell in (str, repr):
        try:
            return tell(value)
        except Exception:  # whatever it is, it is no reason not to tell the rest
            continue
    return f"<{type(value).__name__}>"


def clean(text: str) -> str:
    """Return a text that can be written: halves of characters, as in undecodable names of files, are question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
