"""Photographs that come with scikit-image, found without importing it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from PIL import Image


def photo(name: str) -> Path:
    """Return the path of one, such as ``chelsea.png``: a cat."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / name


def picture(path: Path) -> Image.Image:
    """Read an image whole, and close its file."""
    with Image.open(path) as image:
        image.load()
        return image.copy()
