"""Quantities as people read them. Sizes are decimal: 1 MB is 10^6 bytes."""

from __future__ import annotations

_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def seconds(value: float) -> str:
    """Return a time with three significant digits: ``53.1 ms``, ``1.43 s``, ``2 min 5 s``.

    Args:
        value: Seconds.
    """
    if value >= 99.95:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest} s"
    scaled, unit = (value, "s") if value >= 0.9995 else (value * 1e3, "ms")
    return f"{_three(scaled)} {unit}"


def duration(value: float) -> str:
    """Return a long time in its two largest units: ``42 s``, ``2 min 5 s``, ``3 h 20 min``.

    Args:
        value: Seconds.
    """
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def size(nbytes: float) -> str:
    """Return a number of bytes as text: ``90.4 MB``.

    Args:
        nbytes: Bytes.
    """
    for scale, unit in _SIZES:
        if nbytes >= scale:
            return f"{_three(nbytes / scale)} {unit}"
    return f"{nbytes:.0f} B"


def times(ratio: float) -> str:
    """Return a ratio as text: ``2.75 times``.

    Args:
        ratio: The ratio.
    """
    return f"{_three(ratio)} times"


def _three(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
