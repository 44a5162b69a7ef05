"""Tasks over images answer as native onnxruntime does with images prepared by hand, in the form of Transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.photos import photo, picture
from tests.pipelines.small_vision import LABELS, detector, two_towers, vision
from webinfer import Accelerator
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import EmptyBatch, InputError, InvalidImage, OptionError, ProcessorMissing, TaskMismatch
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.models.sources.resolve import resolve

Array = NDArray[Any]
PHOTOS = [photo(name) for name in ("chelsea.png", "coffee.png", "rocket.jpg")]


def prepared(path: Path, width: int = 32, height: int = 32) -> Array:
    """Prepare an image as the small models take it: bilinear, from -1 to 1."""
    small = picture(path).convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    return (np.asarray(small, np.float32) / 255 - 0.5).transpose(2, 0, 1)[None] / 0.5


def native(path: Path | str, **inputs: Any) -> dict[str, Array]:
    return NativeSession(resolve(path)).run(inputs)


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def labels(scores: Array, names: Sequence[str], tolerance: float = 1e-5) -> list[dict[str, Any]]:
    order = sorted(range(len(scores)), key=lambda at: -scores[at])
    return [{"label": names[at], "score": pytest.approx(scores[at], abs=tolerance)} for at in order]


# image-classification


@pytest.mark.parametrize("platform", ["wasm", "webnn"])
def test_photographs_have_the_five_labels_that_native_gives(embedded: Accelerator, platform: Any) -> None:
    package = resolve("wheel:efficientnet-lite0")
    names = [package.config["id2label"][str(at)] for at in range(1000)]
    session = NativeSession(package)
    expected = []
    for path in PHOTOS:
        whole = picture(path).convert("RGB")
        small = whole.resize((256 * whole.width // whole.height, 256), Image.Resampling.BICUBIC)
        left = (small.width - 224) // 2
        pixels = np.asarray(small.crop((left, 16, left + 224, 240)), np.float32)
        logits = session.run(((pixels - 127) / 128).transpose(2, 0, 1)[None])["logits"][0]
        expected.append(labels(softmax(logits), names, 1e-4)[:5])
    with embedded.pipeline("image-classification", platform=platform) as classify:
        assert classify(PHOTOS) == expected
        assert classify(str(PHOTOS[1]), top_k=2) == expected[1][:2]
        assert classify.result is not None
        assert classify.result.backend == platform
    best = [answer[0]["label"] for answer in expected]
    assert "cat" in best[0]
    assert best[1] == "espresso"
    assert "missile" in best[2]


def test_every_form_of_an_image_is_classified_alike(embedded: Accelerator, tmp_path: Path) -> None:
    path = vision(tmp_path / "vit")
    scores = softmax(native(path, pixel_values=prepared(PHOTOS[0]))["logits"][0])
    expected = labels(scores, [f"label {at}" for at in range(LABELS)])
    whole = picture(PHOTOS[0])
    forms = [PHOTOS[0], str(PHOTOS[0]), PHOTOS[0].read_bytes(), whole, np.asarray(whole)]
    with embedded.pipeline("image-classification", path, top_k=None) as classify:
        assert classify(forms, batch_size=2) == [expected] * len(forms)
        assert classify(PHOTOS[0], top_k=1) == expected[:1]
        raw = classify(PHOTOS[0], function_to_apply="none")[0]["score"]
        assert raw == pytest.approx(native(path, pixel_values=prepared(PHOTOS[0]))["logits"].max(), abs=1e-4)


def test_what_cannot_be_classified_is_said_and_the_next_works(embedded: Accelerator, tmp_path: Path) -> None:
    half = tmp_path / "half.jpg"
    half.write_bytes(PHOTOS[2].read_bytes()[:9000])
    with embedded.pipeline("image-classification", vision(tmp_path / "vit")) as classify:
        for inputs, error, words in (
            (half, InvalidImage, r"half\.jpg cannot be read"),
            ([PHOTOS[0], "/no/such.png"], InvalidImage, "There is no image"),
            ([], EmptyBatch, "no images"),
            (np.zeros((2, 8, 8, 3), np.uint8), InvalidImage, "Pass several images as a list"),
        ):
            with pytest.raises(error, match=words):
                classify(inputs)
            assert len(classify(PHOTOS[0])) == LABELS
        with pytest.raises(OptionError, match="batch_size must be above 0"):
            classify(PHOTOS[0], batch_size=0)


def test_many_images_keep_their_order_over_several_windows(
    embedded: Accelerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webinfer.pipelines.base.images._WINDOW", 3)
    path = vision(tmp_path / "vit")
    shades = [np.full((8, 8, 3), (3 * at, 255 - 3 * at, 90), np.uint8) for at in range(8)]
    expected = []
    for shade in shades:
        pixels = np.tile(((shade[0, 0].astype(np.float32) / 255 - 0.5) / 0.5)[:, None, None], (1, 32, 32))
        scores = softmax(native(path, pixel_values=pixels[None].astype(np.float32))["logits"][0])
        expected.append(labels(scores, [f"label {at}" for at in range(LABELS)]))
    assert len({str(each) for each in expected}) == len(shades)
    with embedded.pipeline("image-classification", path, batch_size=2) as classify:
        assert classify(shades) == expected
        with pytest.raises(InvalidImage, match="There is no image /no/such"):
            classify([*shades[:4], "/no/such.png", *shades[4:]])
        assert classify(shades[::-1]) == expected[::-1]


# image-feature-extraction


def test_features_are_natives_hidden_state(embedded: Accelerator, tmp_path: Path) -> None:
    path = vision(tmp_path / "vit", "ViTModel")
    expected = [native(path, pixel_values=prepared(each)) for each in PHOTOS]
    with embedded.pipeline("image-feature-extraction", path) as extract:
        one = extract(PHOTOS[0])
        assert (one.dtype, one.shape) == (np.float32, (1, 17, 24))
        np.testing.assert_allclose(one, expected[0]["last_hidden_state"], atol=1e-4)
        for got, each in zip(extract(PHOTOS), expected, strict=True):
            np.testing.assert_allclose(got, each["last_hidden_state"], atol=1e-4)
        pooled = np.concatenate([each["pooler_output"] for each in expected])
        np.testing.assert_allclose(extract(PHOTOS, pool=True), pooled, atol=1e-4)
    with (
        embedded.pipeline("image-feature-extraction", detector(tmp_path / "detector")) as extract,
        pytest.raises(TaskMismatch, match="gives no pooled vector"),
    ):
        extract(PHOTOS[0], pool=True)


# object-detection


def corners(box: Array, width: int, height: int) -> dict[str, Any]:
    x, y, w, h = (float(value) for value in box)
    exact = {
        "xmin": (x - w / 2) * width,
        "ymin": (y - h / 2) * height,
        "xmax": (x + w / 2) * width,
        "ymax": (y + h / 2) * height,
    }
    return {
        side: pytest.approx(int(value), abs=0 if abs(value - round(value)) > 0.01 else 1)
        for side, value in exact.items()
    }


def found(answer: dict[str, Array], threshold: float, width: int, height: int) -> list[dict[str, Any]]:
    """Return each query's likeliest label, where that is not the last, which means nothing."""
    objects = []
    for query, scores in enumerate(softmax(answer["logits"][0].astype(np.float64))):
        best = int(scores[:-1].argmax())
        if scores[best] > threshold:
            score = pytest.approx(scores[best], abs=1e-5)
            box = corners(answer["pred_boxes"][0, query], width, height)
            objects.append({"score": score, "label": f"thing {best}", "box": box})
    return objects


@pytest.mark.parametrize("mask", [None, ("height", "width"), (64, 64)], ids=["no mask", "mask", "fixed mask"])
def test_objects_are_those_that_native_sees(embedded: Accelerator, tmp_path: Path, mask: Any) -> None:
    path = detector(tmp_path / "detector", mask=mask)
    expected = []
    for each in PHOTOS:
        inputs = {"pixel_values": prepared(each)}
        if mask is not None:
            inputs["pixel_mask"] = np.ones((1, 64, 64) if mask == (64, 64) else (1, 32, 32), np.int64)
        size = picture(each).size
        expected.append(found(native(path, **inputs), 0.4, *size))
    assert all(expected)
    with embedded.pipeline("object-detection", path, threshold=0.4) as detect:
        assert detect(PHOTOS) == expected
        assert detect(PHOTOS[1]) == expected[1]
        assert detect(PHOTOS[1], threshold=1) == []


def test_images_of_several_sizes_are_seen_as_if_alone(embedded: Accelerator, tmp_path: Path) -> None:
    processor = {"image_processor_type": "DetrImageProcessor", "size": {"shortest_edge": 48, "longest_edge": 80}}
    path = detector(
        tmp_path / "detector", preprocessor_config={**processor, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    )
    turned = picture(PHOTOS[0]).transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "turned.png")
    sizes = [(72, 48), (72, 48), (71, 48), (48, 72)]
    files = [*PHOTOS, tmp_path / "turned.png"]
    expected = [
        found(native(path, pixel_values=prepared(file, *size)), 0.3, *picture(file).size)
        for file, size in zip(files, sizes, strict=True)
    ]
    with embedded.pipeline("object-detection", path, threshold=0.3) as detect:
        assert detect(files) == expected
    assert len({str(each) for each in expected}) == 4


def test_labels_that_are_scored_by_themselves_may_share_a_box(embedded: Accelerator, tmp_path: Path) -> None:
    path = detector(tmp_path / "detector", config={"model_type": "rt_detr"})
    answer = native(path, pixel_values=prepared(PHOTOS[0]))
    scores = 1 / (1 + np.exp(-answer["logits"][0]))
    pairs = sorted(((score, query, label) for (query, label), score in np.ndenumerate(scores)), reverse=True)[:16]
    size = picture(PHOTOS[0]).size
    expected = [
        {
            "score": pytest.approx(score, abs=1e-5),
            "label": f"thing {label}",
            "box": corners(answer["pred_boxes"][0, query], *size),
        }
        for score, query, label in pairs
        if score > 0.7
    ]
    with embedded.pipeline("object-detection", path, threshold=0.7) as detect:
        assert detect(PHOTOS[0]) == expected
    assert len(expected) > len({str(each["box"]) for each in expected})


# zero-shot-image-classification


def test_own_labels_have_the_scores_that_native_gives(embedded: Accelerator, tmp_path: Path) -> None:
    path = two_towers(tmp_path / "clip")
    package = resolve(path)
    assert package.tokenizer is not None
    names = ["cat", "a cup of coffee", "rocket"]
    tokens = Tokenizer(package.tokenizer).encode([f"a photo of {name}" for name in names])
    inputs = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    expected = [
        labels(softmax(native(path, pixel_values=prepared(each), **inputs)["logits_per_image"][0]), names)
        for each in PHOTOS
    ]
    with embedded.pipeline("zero-shot-image-classification", path, hypothesis_template="a photo of {}") as classify:
        assert classify(PHOTOS, candidate_labels=names) == expected
        assert classify(PHOTOS[0], candidate_labels="cat, a cup of coffee,rocket") == expected[0]
        with pytest.raises(EmptyBatch, match="no candidate_labels"):
            classify(PHOTOS[0])
        with pytest.raises(InputError, match="texts, not int"):
            classify(PHOTOS[0], candidate_labels=[7])
        with pytest.raises(OptionError, match=r"has no \{\} for the label"):
            classify(PHOTOS[0], candidate_labels=names, hypothesis_template="a photo")


@pytest.mark.slow
def test_published_architectures_answer_as_native_does(embedded: Accelerator) -> None:
    processor = {"width": 224, "height": 224}
    logits = native("random:vit-base-patch16-224", pixel_values=prepared(PHOTOS[0], **processor))["logits"][0]
    with embedded.pipeline("image-classification", "random:vit-base-patch16-224", platform="wasm") as classify:
        expected = labels(softmax(logits), [f"LABEL_{at}" for at in range(1000)])
        assert classify(PHOTOS[0]) == expected[:5]


@pytest.mark.slow
def test_the_whole_of_clip_answers_as_native_does(embedded: Accelerator) -> None:
    reference = "random:clip-vit-base-patch32"  # both towers, 605 MB
    package = resolve(reference)
    assert package.tokenizer is not None
    tokens = Tokenizer(package.tokenizer).encode(["a cat", "a cup of coffee"])
    pixels = prepared(PHOTOS[0], 224, 224)
    inputs = {"pixel_values": pixels, **{name: tokens[name] for name in ("input_ids", "attention_mask")}}
    expected = native(reference, **inputs)
    with embedded.load(reference, platform="wasm") as model:
        answers = model.run(inputs).outputs
    for name in ("logits_per_image", "image_embeds", "text_embeds"):
        np.testing.assert_allclose(answers[name], expected[name], rtol=1e-3, atol=1e-4 * np.abs(expected[name]).max())


# Models of another kind


def test_models_that_cannot_do_the_task_are_refused(embedded: Accelerator, tmp_path: Path) -> None:
    plain = vision(tmp_path / "vit")
    for task, path, words in (
        ("image-feature-extraction", plain, "no hidden state"),
        ("object-detection", plain, "pred_boxes"),
        ("zero-shot-image-classification", plain, "logits_per_image"),
        ("zero-shot-image-classification", two_towers(tmp_path / "siglip", model_type="siglip"), "SigLIP"),
        ("image-feature-extraction", two_towers(tmp_path / "clip"), "also needs input_ids"),
        ("image-classification", "wheel:all-MiniLM-L6-v2", "no input pixel_values"),
    ):
        with pytest.raises(TaskMismatch, match=words):
            embedded.pipeline(task, path)
    (plain / "preprocessor_config.json").unlink()
    with pytest.raises(ProcessorMissing, match=r"no preprocessor_config\.json"):
        embedded.pipeline("image-classification", plain)
