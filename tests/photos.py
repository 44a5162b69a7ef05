"""Photographs that come with scikit-image, found without importing it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def photo(name: str) -> Path:
    """Return the path of one, such as ``chelsea.png``: a cat."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / name
