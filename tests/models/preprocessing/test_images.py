"""Images of every kind become upright RGB pictures of 8 bits; what is none is refused with the reason."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tests.photos import photo
from webinfer.core.errors import InvalidImage
from webinfer.models.preprocessing.images import open_image

# A picture that is alike no turn or mirror image of itself, in colours that JPEG hardly changes.
COLOURS = np.array([[[250, 10, 10], [10, 250, 10]], [[10, 10, 250], [250, 250, 10]], [[10, 10, 10], [250, 250, 250]]])
PIXELS = np.kron(COLOURS, np.ones((16, 16, 1))).astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(source: Any) -> NDArray[np.uint8]:
    image = open_image(source)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("form", ["path", "text", "bytes", "picture", "array", "channels first"])
def test_every_form_of_an_image_is_opened_alike(form: str, tmp_path: Path) -> None:
    picture = Image.fromarray(PIXELS)
    path = tmp_path / "image.png"
    picture.save(path)
    sources = {
        "path": path,
        "text": str(path),
        "bytes": path.read_bytes(),
        "picture": picture,
        "array": PIXELS,
        "channels first": PIXELS.transpose(2, 0, 1),
    }
    np.testing.assert_array_equal(pixels(sources[form]), PIXELS)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG"])
def test_formats(kind: str) -> None:
    exactly: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    got = pixels(encoded(Image.fromarray(PIXELS), kind, **exactly.get(kind, {})))
    assert np.abs(got.astype(int) - PIXELS).max() <= (8 if kind == "JPEG" else 0)


# What each orientation means, as the EXIF standard has it: where row 0 and column 0 of the stored picture are.
TURNS = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_followed(orientation: int) -> None:
    stored = Image.fromarray(np.ascontiguousarray(TURNS[orientation](PIXELS)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(pixels(encoded(stored, "PNG", exif=exif)), PIXELS)
    turned = pixels(encoded(stored, "JPEG", quality=100, subsampling=0, exif=exif))
    assert np.abs(turned.astype(int) - PIXELS).max() <= 8


def test_alpha_is_left_out() -> None:
    alpha = np.full((*PIXELS.shape[:2], 1), 0, np.uint8)
    for picture in (
        Image.fromarray(np.concatenate([PIXELS, alpha], axis=2)),
        Image.fromarray(PIXELS).convert("P", palette=Image.Palette.ADAPTIVE),
    ):
        np.testing.assert_array_equal(pixels(encoded(picture)), PIXELS)
    palette = Image.fromarray(PIXELS).convert("P", palette=Image.Palette.ADAPTIVE)
    np.testing.assert_array_equal(pixels(encoded(palette, transparency=bytes(range(6)))), PIXELS)


def test_grey_of_every_depth_is_the_same_grey() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    expected = np.repeat(ramp[:, :, None], 3, axis=2)
    deep = (ramp.astype(np.uint16) << 8) + 77
    wide = Image.fromarray(deep.astype(np.int32))
    for source in (
        encoded(Image.fromarray(ramp)),
        encoded(Image.fromarray(deep)),
        encoded(Image.fromarray(deep), "TIFF"),
    ):
        np.testing.assert_array_equal(pixels(source), expected)
    np.testing.assert_array_equal(pixels(wide), expected)
    np.testing.assert_array_equal(pixels(ramp), expected)
    np.testing.assert_array_equal(pixels(ramp[:, :, None]), expected)
    white = Image.fromarray(ramp > 127)
    assert white.mode == "1"
    np.testing.assert_array_equal(pixels(encoded(white)), (expected > 127) * np.uint8(255))


def test_cmyk_becomes_rgb() -> None:
    cmyk = Image.fromarray(255 - PIXELS).convert("RGB")
    ink = Image.merge("CMYK", [*cmyk.split(), Image.new("L", cmyk.size, 0)])
    assert np.abs(pixels(encoded(ink, "TIFF")).astype(int) - PIXELS).max() == 0
    assert np.abs(pixels(encoded(ink, "JPEG", quality=100)).astype(int) - PIXELS).max() <= 8


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation_is_taken(kind: str) -> None:
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    options = {"WEBP": {"lossless": True}}.get(kind, {})
    file = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options)
    np.testing.assert_array_equal(pixels(file), PIXELS)


# What is refused


def test_truncated_file_is_refused_and_the_next_is_read(tmp_path: Path) -> None:
    whole = photo("rocket.jpg").read_bytes()
    path = tmp_path / "half.jpg"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidImage, match=r"half\.jpg cannot be read as an image: image file is truncated"):
        open_image(path)
    assert open_image(whole).size == (640, 427)
    with Image.open(path) as picture, pytest.raises(InvalidImage, match="truncated"):
        open_image(picture)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"", "image of 0 bytes cannot be read as an image: it has no format"),
        (b"hello", "it has no format that pillow knows"),
        ("/no/such.png", r"There is no image /no/such\.png: check the path"),
        ("https://example.org/cat.png", "is an address: download"),
        (7, "not a int"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((4, 4, 3), np.float32), "holds uint8 from 0 to 255, not float32"),
        (np.zeros((7, 6, 5), np.uint8), r"not \(7, 6, 5\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), "Pass several images as a list"),
        (Image.new("RGB", (0, 5)), "no pixels: it is 0 x 5"),
    ],
    ids=lambda value: str(value)[:20] if not isinstance(value, np.ndarray) else str(value.shape),
)
def test_what_is_no_image_is_refused(source: Any, words: str) -> None:
    with pytest.raises(InvalidImage, match=words):
        open_image(source)


def test_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match=r"Is a directory|Permission denied"):
        open_image(tmp_path)


@pytest.mark.parametrize("pixels", [60, 130], ids=["error of pillow's", "warning of pillow's"])
def test_decompression_bomb_is_refused_unread(pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)
    bomb = encoded(Image.new("L", (16, 10)))
    with pytest.raises(InvalidImage, match=r"too large .*MAX_IMAGE_PIXELS"):
        open_image(bomb)
    with warnings.catch_warnings(action="ignore"), pytest.raises(InvalidImage, match=r"too large .*MAX_IMAGE_PIXELS"):
        open_image(bomb)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert open_image(bomb).size == (16, 10)


@given(st.data())
@settings(max_examples=150)
def test_damaged_files_end_in_the_one_error(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"]))
    file = bytearray(encoded(Image.fromarray(PIXELS), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings(action="ignore"), contextlib.suppress(InvalidImage):
        assert open_image(bytes(file)).mode == "RGB"
