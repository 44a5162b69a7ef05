"""An image with boxes around the detected objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from PIL import Image, ImageDraw, ImageFont

from webinfer.api.services.models import open_image

COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")
"""A colour for each label, in the order of their first boxes. After the last colour they repeat."""
_FINE = 250  # pixels of the image's shorter side for each pixel of a line's width
_SMALL = 40  # pixels of the image's shorter side for each pixel of a letter's height
_LETTER = 11  # smallest height of a letter, in pixels


def check(path: Path) -> None:
    """Refuse a file name that is not a picture's.

    Args:
        path: The file.

    Raises:
        typer.BadParameter: Its ending is not one of an image format.
    """
    Image.init()
    if path.suffix.lower() not in Image.EXTENSION or Image.EXTENSION[path.suffix.lower()] not in Image.SAVE:
        raise typer.BadParameter(f"{path.name!r} is no image file: write boxes.png", param_hint="--output")


def draw(image: str, objects: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write an upright copy of an image with a box, a label and a score for each object.

    Args:
        image: Path of the image.
        objects: The answer of ``object-detection`` for it.
        path: File to write, one that ``check`` accepts.

    Raises:
        typer.BadParameter: The file cannot be written.
    """
    picture = open_image(image)
    pen = ImageDraw.Draw(picture)
    line = max(1, round(min(picture.size) / _FINE))
    font = ImageFont.load_default(max(_LETTER, round(min(picture.size) / _SMALL)))
    names = list(dict.fromkeys(item["label"] for item in objects))
    for item in sorted(objects, key=lambda item: float(item["score"])):  # the most certain on top
        colour = COLOURS[names.index(item["label"]) % len(COLOURS)]
        left, top, right, bottom = (item["box"][name] for name in ("xmin", "ymin", "xmax", "ymax"))
        pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=line)
        caption = f" {item['label']} {item['score']:.2f} "
        height = pen.textbbox((0, 0), caption, font)[3]
        above = (left, top - height if top >= height else top)
        pen.rectangle(pen.textbbox(above, caption, font), fill=colour)
        pen.text(above, caption, fill="white", font=font)
    try:
        picture.save(path)
    except OSError as error:
        raise typer.BadParameter(
            f"{path} cannot be written: {error.strerror or error}", param_hint="--output"
        ) from error
