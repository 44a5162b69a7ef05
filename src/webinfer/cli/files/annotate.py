"""A photograph with boxes around what was found in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from PIL import Image, ImageDraw, ImageFont

from webinfer.api.services.models import open_image

COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")
"""One for each label, in the order of their first boxes, then from the beginning."""
_FINE = 250  # pixels of an image's shorter side for each pixel of a line
_SMALL = 40  # likewise for each pixel of a letter's height
_LETTER = 11  # pixels of a letter's height at least


def check(path: Path) -> None:
    """Refuse the name of a file that no picture can be written to.

    Raises:
        typer.BadParameter: Its ending names no kind of picture.
    """
    Image.init()
    if path.suffix.lower() not in Image.EXTENSION or Image.EXTENSION[path.suffix.lower()] not in Image.SAVE:
        raise typer.BadParameter(f"{path.name!r} names no picture: write boxes.png", param_hint="--output")


def draw(image: str, found: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a picture, upright, with a box, a label and a score for each object.

    Args:
        image: Path of the image.
        found: What ``object-detection`` answers for it.
        path: Where to; ``check`` took it.

    Raises:
        typer.BadParameter: It cannot be written.
    """
    picture = open_image(image)
    pen = ImageDraw.Draw(picture)
    line = max(1, round(min(picture.size) / _FINE))
    font = ImageFont.load_default(max(_LETTER, round(min(picture.size) / _SMALL)))
    names = list(dict.fromkeys(each["label"] for each in found))
    for each in sorted(found, key=lambda each: float(each["score"])):  # the surest on top
        colour = COLOURS[names.index(each["label"]) % len(COLOURS)]
        left, top, right, bottom = (each["box"][name] for name in ("xmin", "ymin", "xmax", "ymax"))
        pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=line)
        said = f" {each['label']} {each['score']:.2f} "
        height = pen.textbbox((0, 0), said, font)[3]
        above = (left, top - height if top >= height else top)
        pen.rectangle(pen.textbbox(above, said, font), fill=colour)
        pen.text(above, said, fill="white", font=font)
    try:
        picture.save(path)
    except OSError as error:
        raise typer.BadParameter(
            f"{path} cannot be written: {error.strerror or error}", param_hint="--output"
        ) from error
