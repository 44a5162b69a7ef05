"""``run`` takes images where a model wants pixel values, and answers as it does for prepared tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.photos import photo, picture
from tests.pipelines.small_vision import detector, two_towers, vision
from webinfer import Accelerator
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import InvalidImage, MissingInput, ProcessorMissing, ShapeMismatch
from webinfer.models.preprocessing.image_processor import ImageProcessor
from webinfer.models.sources.resolve import resolve

CAT, COFFEE = photo("chelsea.png"), photo("coffee.png")


def test_images_are_prepared_whatever_their_form(embedded: Accelerator, tmp_path: Path) -> None:
    path = vision(tmp_path / "vit")
    package = resolve(path)
    pixels = np.stack([ImageProcessor.of(package)(each) for each in (CAT, COFFEE)])
    expected = NativeSession(package).run(pixels)["logits"]
    with embedded.load(path) as model:
        forms = (
            CAT,
            str(CAT),
            CAT.read_bytes(),
            picture(CAT),
            [CAT],
            {"pixel_values": CAT},
            {"pixel_values": str(CAT)},
        )
        for form in forms:
            np.testing.assert_allclose(model.run(form)["logits"], expected[:1], atol=1e-4)
        for both in ([CAT, COFFEE], {"pixel_values": (CAT, COFFEE)}, pixels):
            np.testing.assert_allclose(model.run(both)["logits"], expected, atol=1e-4)
        results = model.run_batch([CAT, [COFFEE, CAT], pixels[0]])
        for result, wanted in zip(results, (expected[:1], expected[::-1], expected[:1]), strict=True):
            np.testing.assert_allclose(result["logits"], wanted, atol=1e-4)
        np.testing.assert_array_equal(model.image_processor(CAT), pixels[0])


def test_text_stays_text_where_the_model_takes_both(embedded: Accelerator, tmp_path: Path) -> None:
    path = two_towers(tmp_path / "clip")
    package = resolve(path)
    pixels = ImageProcessor.of(package)(COFFEE)[None]
    ids = np.array([[512, 64, 320, 513]])
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    expected = NativeSession(package).run({**given, "pixel_values": pixels})["logits_per_image"]
    with embedded.load(path) as model:
        answer = model.run({"input_ids": ids, "pixel_values": COFFEE})["logits_per_image"]
        np.testing.assert_allclose(answer, expected, atol=1e-4)
        with pytest.raises(MissingInput, match="pixel_values"):
            model.run("a cup of coffee")


def test_mask_that_the_model_wants_keeps_every_pixel(embedded: Accelerator, tmp_path: Path) -> None:
    path = detector(tmp_path / "detector", mask=("height", "width"))
    package = resolve(path)
    pixels = ImageProcessor.of(package)(CAT)[None]
    expected = NativeSession(package).run({"pixel_values": pixels, "pixel_mask": np.ones((1, 32, 32), np.int64)})
    with embedded.load(path) as model:
        np.testing.assert_allclose(model.run(CAT)["logits"], expected["logits"], atol=1e-4)


def test_model_of_any_size_is_loaded_for_the_size_that_its_images_come_out_in(
    embedded: Accelerator, tmp_path: Path
) -> None:
    path = detector(tmp_path / "any size", mask=("height", "width"))
    with embedded.load(path, platform="webnn") as model:
        assert model.run(CAT).shape == {}
        sessions = [
            session for browser in embedded.snapshot().browsers for lane in browser.lanes for session in lane.sessions
        ]
        assert [each.dimensions for each in sessions if each.model == model.name] == [
            {"batch": 1, "height": 32, "width": 32}
        ]


def test_what_is_no_image_is_said_and_the_next_runs(embedded: Accelerator, tmp_path: Path) -> None:
    processor = {"image_processor_type": "DetrImageProcessor", "size": {"shortest_edge": 48, "longest_edge": 80}}
    turned = tmp_path / "turned.png"
    picture(CAT).rotate(90, expand=True).save(turned)
    with embedded.load(detector(tmp_path / "detector", preprocessor_config=processor)) as model:
        with pytest.raises(InvalidImage, match="There is no image /no/such"):
            model.run("/no/such.png")
        with pytest.raises(ShapeMismatch, match="come out in 2 sizes"):
            model.run([CAT, turned])
        assert model.run(CAT)["logits"].shape == (1, 6 * 9, 5)
    plain = detector(tmp_path / "plain")
    (plain / "preprocessor_config.json").unlink()
    with embedded.load(plain) as model:
        with pytest.raises(ProcessorMissing, match="pass pixel_values"):
            model.run(CAT)
        assert model.run(np.zeros((1, 3, 16, 16), np.float32))["logits"].shape == (1, 4, 5)
