"""The version of this package."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def package_version() -> str:
    """Return the version of webinfer that is installed."""
    return metadata.version("webinfer")
