"""Image files and arrays to upright RGB pictures, over the ``pillow`` library."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from webinfer.core.errors import InvalidImage

Picture = Image.Image
ImageInput = str | Path | bytes | Picture | NDArray[Any]
"""A path, the contents of a file, a picture of pillow's, or an array of ``open_image``'s shapes."""

_CHANNELS = (1, 3, 4)
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # 16 bits a pixel; old versions of pillow read them into 32


def open_image(source: ImageInput) -> Picture:
    """Open an image as models take it: turned as its EXIF orientation says, in RGB, 8 bits a channel.

    An alpha channel is left out, as transformers' ``load_image`` does; of 16 bits the upper 8 are kept; of an
    animation, the first frame. An array is uint8 of shape (height, width), (height, width, channels) or
    (channels, height, width) with 1, 3 or 4 channels.

    Args:
        source: The image.

    Returns:
        A Pillow image in mode RGB.

    Raises:
        InvalidImage: There is no such file; it is no image, truncated, or has no pixels; or more of them than
            ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    name = _name(source)
    try:
        return _read(source, name)
    except InvalidImage:
        raise
    except FileNotFoundError as error:
        raise InvalidImage(f"There is no image {name}: check the path.", file=name) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, str(error)) from error
    except Exception as error:  # pillow's readers of damaged files raise whatever comes up
        raise InvalidImage(f"{name} cannot be read as an image: {_reason(error)}.", file=name) from error


def _name(source: Any) -> str:
    if isinstance(source, Picture):
        return f"The picture {getattr(source, 'filename', '')}".strip()
    if isinstance(source, bytes | bytearray | memoryview):
        return f"The image of {len(source):,} bytes"
    if not isinstance(source, str | Path):
        kind = type(source).__name__
        raise InvalidImage(f"An image is a path, the bytes of a file, a PIL image or an array, not a {kind}.")
    if str(source).startswith(("http://", "https://", "data:")):
        raise InvalidImage(f"{str(source)[:80]} is an address: download the image, and give its path or its bytes.")
    return str(source)


def _read(source: str | Path | bytes | Picture, name: str) -> Picture:
    if isinstance(source, Picture):
        return _upright(source, name)
    with Image.open(Path(source).expanduser() if isinstance(source, str | Path) else io.BytesIO(source)) as image:
        return _upright(image, name)


def _upright(image: Picture, name: str) -> Picture:
    if not image.width or not image.height:
        raise InvalidImage(f"{name} has no pixels: it is {image.width} x {image.height}.", file=name)
    limit = Image.MAX_IMAGE_PIXELS  # pillow itself only warns, up to twice as many pixels
    if limit is not None and image.width * image.height > limit:
        raise _too_large(name, f"{image.width} x {image.height} pixels")
    return _rgb(ImageOps.exif_transpose(image))


def _rgb(image: Picture) -> Picture:
    if image.mode in _DEEP:
        deep = np.asarray(image)
        return Image.fromarray((deep.clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("P", "PA"):  # pillow wants to be asked for the alpha that some palettes have
        image = image.convert("RGBA")
    return image.convert("RGB")


def _from_array(array: NDArray[Any]) -> Picture:
    if array.dtype != np.uint8:
        raise InvalidImage(
            f"An image array holds uint8 from 0 to 255, not {array.dtype}. "
            "Tensors that are prepared already go to the model as its input, by name.",
            dtype=str(array.dtype),
        )
    if array.ndim == 3 and array.shape[2] not in _CHANNELS and array.shape[0] in _CHANNELS:
        array = array.transpose(1, 2, 0)
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS)):
        raise InvalidImage(
            f"An image array has the shape (height, width) or (height, width, 1, 3 or 4), not {array.shape}. "
            "Pass several images as a list.",
            shape=list(array.shape),
        )
    if not array.size:
        raise InvalidImage(f"The image array has no pixels: its shape is {array.shape}.", shape=list(array.shape))
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(array)).convert("RGB")


def _too_large(name: str, why: str) -> InvalidImage:
    return InvalidImage(
        f"{name} is too large ({why.rstrip('.')}): make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS.",
        file=name,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it has no format that pillow knows"
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).rstrip(
        "."
    ) or "it is empty"
