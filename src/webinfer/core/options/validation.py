"""Values as people type them: brought to the type that is meant, or refused."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from webinfer.core.errors import OptionError


def coerce(name: str, value: Any, hint: Any) -> Any:
    """Bring an option's value to its type.

    A path may be a text, a list a tuple, and one text the only item of either. What a value may be within its type is
    not looked at here.

    Args:
        name: The option's name.
        value: What was given.
        hint: Its type, as annotated.

    Returns:
        The value, in the option's type.

    Raises:
        OptionError: It is of another type, or no finite number.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if value is None and NoneType in inner:
            return None
        return coerce(name, value, next(kind for kind in inner if kind is not NoneType))
    if origin is tuple:
        items = (value,) if isinstance(value, str) else value
        if not isinstance(items, Sequence) or isinstance(items, bytes):
            raise _refusal(name, value, "a list")
        return tuple(coerce(name, item, inner[0]) for item in items)
    if origin is not None:
        if issubclass(_class(origin), Mapping) and not isinstance(value, Mapping):
            raise _refusal(name, value, "a mapping")
        return value
    return _KINDS[hint](name, value) if hint in _KINDS else value


def seconds(name: str, value: Any) -> float:
    """Return a time, which must be above 0.

    Args:
        name: Name of the argument.
        value: Its value.

    Raises:
        OptionError: It is not.
    """
    number = _real(name, value)
    if number <= 0:
        raise OptionError(f"{name} must be above 0 or None, not {value!r}.", option=name)
    return number


def _bool(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refusal(name, value, "True or False")
    return value


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool):
        raise _refusal(name, value, "a whole number")
    try:
        return operator.index(value)
    except TypeError:
        raise _refusal(name, value, "a whole number") from None


def _real(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise _refusal(name, value, "a finite number")
    return value  # type: ignore[return-value]  # an int stays one, as it was typed


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _refusal(name, value, "a text")
    return value


def _path(name: str, value: Any) -> Path:
    if not isinstance(value, (str, os.PathLike)) or not str(value):
        raise _refusal(name, value, "a path")
    return Path(value).expanduser()


_KINDS = {bool: _bool, int: _whole, float: _real, str: _text, Path: _path}


def _class(origin: Any) -> type:
    return origin if isinstance(origin, type) else object


def _refusal(name: str, value: Any, wanted: str) -> OptionError:
    return OptionError(f"{name} must be {wanted}, not {value!r}.", option=name)
