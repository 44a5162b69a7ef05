"""``webinfer run MODEL IMAGE``: images by their paths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Call
from tests.photos import photo
from tests.pipelines.small_vision import vision
from webinfer.accuracy.native import NativeSession
from webinfer.models.preprocessing.image_processor import ImageProcessor
from webinfer.models.sources.resolve import resolve

CAT = str(photo("chelsea.png"))


def test_without_inputs_says_that_images_will_do(call: Call, tmp_path: Path) -> None:
    answer = call("run", str(vision(tmp_path / "vit")), "--quiet")
    assert "pixel_values: float32[batch, 3, 32, 32]" in answer.err
    assert "takes image files too: webinfer run" in " ".join(answer.err.split())


@pytest.mark.browser("embedded")
def test_images_are_given_by_their_paths(call: Call, embedded: str, tmp_path: Path) -> None:
    path = vision(tmp_path / "vit")
    package = resolve(path)
    expected = NativeSession(package).run(ImageProcessor.of(package)(CAT)[None])["logits"]
    browser = ("-b", embedded, "-p", "wasm", "--json", "-q")
    for given in ((CAT,), ("--input", f"pixel_values={CAT}")):
        answer = call("run", str(path), *given, *browser)
        np.testing.assert_allclose(answer.object["outputs"]["logits"]["values"], expected, atol=1e-4)
    missing = call("run", str(path), "/no/such.png", *browser)
    assert (missing.code, missing.object["error"]["code"]) == (1, "input.image")


@pytest.mark.browser("embedded")
def test_photograph_is_labelled(call: Call, embedded: str) -> None:
    said = ("run", "wheel:efficientnet-lite0", CAT, "--task", "image-classification", "--set", "top_k=3")
    answer = call(*said, "-b", embedded, "-p", "wasm", "-q")
    assert answer.code == 0
    assert "tabby, tabby cat" in answer.out
