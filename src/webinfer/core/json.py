"""Values as JSON can hold them, and files of JSON that are whole or not there."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import secrets
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any


def dumps(value: Any, indent: int | None = None) -> str:
    """Write values as JSON: times in ISO 8601 and UTC, numbers that are none as null.

    Args:
        value: Any values.
        indent: Spaces of each level; ``None`` for one line.

    Returns:
        One line of JSON.
    """
    return json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: what it has no word for as text, numbers that are none as null.

    Args:
        value: Any value.
    """
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean(to_text(key)): plain(one) for key, one in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, date):
        return value.isoformat() + ("Z" if isinstance(value, datetime) and value.tzinfo is None else "")
    return clean(to_text(value))


def to_text(value: Any) -> str:
    """Return anything as text, even an object whose own ``__str__`` fails.

    Args:
        value: Any value.
    """
    for convert in (str, repr):
        try:
            return convert(value)
        except Exception:  # whatever it is, it is no reason to lose the rest of a record
            continue
    return f"<{type(value).__name__}>"


def clean(text: str) -> str:
    """Return a text that can be written: halves of characters, as in undecodable names of files, are question marks.

    Args:
        text: Any text.
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def write_json(path: Path, value: Any, indent: int | None = None, mode: int = 0o666) -> None:
    """Write a file of JSON in one step, as ``write_text`` does.

    Args:
        path: The file. Directories on the way are made.
        value: What to write. Numbers that are none become null, as in ``dumps``.
        indent: Spaces of each level; ``None`` writes one line.
        mode: Who may read and write it, less the process's umask: 0o600 for secrets.

    Raises:
        OSError: It cannot be written. The old file is as it was.
    """
    write_text(path, dumps(value, indent), mode)


def write_text(path: Path, text: str, mode: int = 0o666) -> None:
    """Write a file in one step: a reader, or who comes after a crash, finds the old file or the new one.

    Args:
        path: The file. Directories on the way are made.
        text: What to write, as UTF-8.
        mode: Who may read and write it, less the process's umask.

    Raises:
        OSError: It cannot be written. The old file is as it was.
    """
    write_bytes(path, text.encode("utf-8"), mode)


def write_bytes(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file of any bytes in one step, as ``write_text`` does.

    Args:
        path: The file. Directories on the way are made.
        content: What to write.
        mode: Who may read and write it, less the process's umask.

    Raises:
        OSError: It cannot be written. The old file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")  # no other writer's
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
