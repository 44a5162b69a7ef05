"""Pixel values are those of transformers' own image processors, and resampling that of plain numpy."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.modelfiles import Write
from tests.photos import photo, picture
from webinfer.core.errors import InvalidImage, InvalidModel, ProcessorMissing
from webinfer.models.preprocessing.image_processor import ImageProcessor, bounded_size, center_crop, shortest_edge_size
from webinfer.models.sources.resolve import resolve

Array = NDArray[Any]
FILE = Path(__file__).parents[3] / "fixtures" / "image_processor_reference.json"
CASES = json.loads(FILE.read_text(encoding="utf-8"))["cases"]


def photograph(name: str) -> Image.Image:
    image = picture(photo(name.split()[0]))
    return image.transpose(Image.Transpose.ROTATE_90) if name.endswith("turned") else image


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{number}-{case['model_type']}-{case['photo']}" for number, case in enumerate(CASES)]
)
def test_pixel_values_equal_those_of_transformers(case: dict[str, Any]) -> None:
    got = ImageProcessor(case["settings"], case["model_type"])(photograph(case["photo"]))
    assert got.dtype == np.float32
    assert list(got.shape) == case["shape"]
    known = ImageProcessor(case["settings"], case["model_type"]).size
    assert known == (None if case["model_type"] in ("detr", "yolos") else got.shape[1:])
    height, width = got.shape[1:]
    np.testing.assert_allclose(got[:, :: height // 5, :: width // 5].ravel(), case["sample"], atol=1e-5)
    np.testing.assert_allclose(got.mean((1, 2), np.float64), case["mean"], atol=2e-6)
    np.testing.assert_allclose(got.std((1, 2), np.float64), case["deviation"], atol=2e-6)


# Resampling, by the definition of its filters


def lanczos(x: Array) -> Array:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


def bicubic(x: Array, a: float = -0.5) -> Array:
    """Keys, 1981, with the parameter that pillow takes."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


FILTERS: dict[str, tuple[float, Any]] = {
    "LANCZOS": (3, lanczos),
    "BICUBIC": (2, bicubic),
    "BILINEAR": (1, lambda x: np.maximum(0, 1 - np.abs(x))),
    "HAMMING": (1, lambda x: np.where(np.abs(x) < 1, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0)),
    "BOX": (0.5, lambda x: ((x > -0.5) & (x <= 0.5)).astype(float)),
}


def resampled(pixels: Array, size: int, mode: str) -> Array:
    """Resample the first axis: each new pixel is the mean of those under the filter, widened to shrink."""
    reach, weigh = FILTERS[mode]
    scale = len(pixels) / size
    wide = max(scale, 1)
    rows = []
    for row in range(size):
        centre = (row + 0.5) * scale
        first = max(0, math.floor(centre - reach * wide + 0.5))
        last = min(len(pixels), math.floor(centre + reach * wide + 0.5))
        weights = weigh((np.arange(first, last) + 0.5 - centre) / wide)
        rows.append(np.tensordot(weights / weights.sum(), pixels[first:last].astype(float), 1))
    return np.clip(np.floor(np.stack(rows) + 0.5), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("mode", FILTERS)
@pytest.mark.parametrize("size", [(90, 130), (350, 500)], ids=["smaller", "larger"])
def test_resampling_equals_plain_numpy(mode: str, size: tuple[int, int]) -> None:
    pixels = np.asarray(picture(photo("chelsea.png")))[40:240, 100:350]
    settings = {
        "size": {"height": size[0], "width": size[1]},
        "resample": int(Image.Resampling[mode]),
        "do_rescale": False,
        "do_normalize": False,
    }
    got = ImageProcessor(settings)(pixels)
    expected = resampled(resampled(pixels.swapaxes(0, 1), size[1], mode).swapaxes(0, 1), size[0], mode)
    difference = np.abs(got.transpose(1, 2, 0) - expected)
    assert difference.max() <= 1  # halves: pillow's weights are fixed-point numbers
    assert (difference > 0).mean() < 0.05


def test_nearest_takes_the_pixel_under_the_middle() -> None:
    pixels = np.asarray(picture(photo("chelsea.png")))
    settings = {"size": {"height": 64, "width": 33}, "resample": 0, "do_rescale": False, "do_normalize": False}
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in ((64, 300), (33, 451)))
    expected = pixels[rows][:, columns].transpose(2, 0, 1)
    np.testing.assert_array_equal(ImageProcessor(settings)(pixels), expected)


# Sizes


@pytest.mark.parametrize(
    ("size", "expected"), [((300, 451), (224, 336)), ((451, 300), (336, 224)), ((9, 9), (224, 224))]
)
def test_shortest_edge_keeps_the_ratio(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert shortest_edge_size(size, 224) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 640), (800, 1066)), ((640, 480), (1066, 800)), ((300, 1202), (333, 1333)), ((800, 900), (800, 900))],
)
def test_bounded_size_is_that_of_detr(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert bounded_size(size, 800, 1333) == expected


def test_center_crop_puts_zeros_around_what_is_too_small() -> None:
    pixels = np.ones((3, 8, 1), np.uint8)
    cropped = center_crop(pixels, (6, 4))
    assert cropped[:, :, 0].tolist() == [[0] * 4, [0] * 4, [1] * 4, [1] * 4, [1] * 4, [0] * 4]


@pytest.mark.parametrize("model_type", ["resnet", "dinov2", "clip", "swin"])
def test_processor_that_is_not_named_is_that_of_the_model_type(model_type: str) -> None:
    kinds = {"resnet": "convnext", "dinov2": "bit", "clip": "clip", "swin": "vit"}
    assert ImageProcessor({}, model_type).kind == kinds[model_type]


# What cannot be


@pytest.mark.parametrize(
    ("model_type", "shape"), [("clip", (2, 900_000)), ("yolos", (1, 20_000))], ids=["huge", "nothing"]
)
def test_image_that_would_become_huge_or_nothing_is_refused(model_type: str, shape: tuple[int, int]) -> None:
    processor = ImageProcessor({}, model_type)
    with pytest.raises(InvalidImage, match=r"would become .* x .* for The model: crop it"):
        processor(np.zeros(shape, np.uint8))
    assert processor(np.zeros((50, 40), np.uint8)).shape[0] == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_processor_type": "DonutImageProcessor"}, "DonutImageProcessor, which is not known"),
        ({"size": {"edge": 3}}, "cannot be followed.*shortest_edge"),
        ({"size": "large"}, "cannot be followed"),
        ({"resample": 9}, "cannot be followed.*resample 9"),
        ({"do_center_crop": True}, "cannot be followed.*crop_size"),
        ({"image_mean": "grey"}, "cannot be followed"),
        ({"image_processor_type": "DetrImageProcessor", "pad_size": {"height": 9, "width": 9}}, "pad_size"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidModel, match=words):
        ImageProcessor(settings, name="m")


def test_processor_comes_from_beside_the_model(write: Write) -> None:
    package = resolve(write("vit/model.onnx"))
    with pytest.raises(ProcessorMissing, match=r"vit has no preprocessor_config\.json: pass pixel_values"):
        ImageProcessor.of(package)
    (package.model.path.parent / "preprocessor_config.json").write_text('{"size": 32}')
    assert ImageProcessor.of(package)(photo("chelsea.png")).shape == (3, 32, 32)
    (package.model.path.parent / "preprocessor_config.json").write_text("{")
    with pytest.raises(InvalidModel, match="is not JSON"):
        ImageProcessor.of(package)
