"""ViT and CLIP built here compute what transformers' own do, with its weights' names and its shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from webinfer.accuracy.native import NativeSession
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.architectures.vision.clip import clip
from webinfer.models.zoo.architectures.vision.vit import vit
from webinfer.models.zoo.formats.graph import Graph
from webinfer.models.zoo.formats.weights import random_weights
from webinfer.models.zoo.random.source import ARCHITECTURES

Array = NDArray[Any]
EXPECTED = json.loads((Path(__file__).parents[3] / "fixtures" / "vision_reference.json").read_text(encoding="utf-8"))
TOWER: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "image_size": 32,
    "patch_size": 8,
}
VIT = {**TOWER, "layer_norm_eps": 1e-12}
CLASSIFIER = {
    **VIT,
    "architectures": ["ViTForImageClassification"],
    "id2label": {str(number): str(number) for number in range(7)},
}
CLIP: dict[str, Any] = {
    "projection_dim": 16,
    "text_config": {
        **TOWER,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
        "vocab_size": 60,
        "max_position_embeddings": 12,
    },
    "vision_config": {**TOWER, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
}


def loud(name: str, shape: tuple[int, ...]) -> Array:
    """Return weights far from their initial values: those that the reference was computed with."""
    generator = np.random.default_rng(list(name.encode()))
    scale = 1 if "norm" in name.lower() and name.endswith(".weight") else 0
    return np.asarray(generator.standard_normal(shape) * 0.3 + scale).astype(np.float32)


def pixels() -> Array:
    return np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)


def run(graph: Graph, directory: Path, **inputs: Any) -> dict[str, Array]:
    graph.save(directory / "model.onnx", loud)
    return NativeSession(resolve(directory / "model.onnx")).run(inputs)


def test_vit_classifier_equals_that_of_transformers(tmp_path: Path) -> None:
    answer = run(vit(CLASSIFIER), tmp_path, pixel_values=pixels())
    np.testing.assert_allclose(answer["logits"], EXPECTED["vit"]["logits"], atol=1e-5)


def test_vit_encoder_equals_that_of_transformers(tmp_path: Path) -> None:
    answer = run(vit({**VIT, "architectures": ["ViTModel"]}), tmp_path, pixel_values=pixels())
    assert answer["last_hidden_state"].shape == (2, 1 + 16, 24)
    np.testing.assert_allclose(
        answer["last_hidden_state"][:, :3], EXPECTED["vit_model"]["last_hidden_state"], atol=2e-5
    )
    np.testing.assert_allclose(answer["pooler_output"], EXPECTED["vit_model"]["pooler_output"], atol=2e-5)


def test_clip_equals_that_of_transformers(tmp_path: Path) -> None:
    expected = dict(EXPECTED["clip"])
    texts = {name: np.array(expected.pop(name)) for name in ("input_ids", "attention_mask")}
    answer = run(clip(CLIP), tmp_path, pixel_values=pixels(), **texts)
    assert list(answer) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(answer[name], values, atol=5e-6, err_msg=name)


# Parameters as published: ViT-B/16 with 1,000 classes and with a pooler, CLIP ViT-B/32.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("vit-base-patch16-224", 86_567_656),
        ("vit-base-patch16-224-in21k", 86_389_248),
        ("clip-vit-base-patch32", 151_277_313),
    ],
)
def test_random_models_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
    architecture = ARCHITECTURES[name]
    (graph,) = architecture.graphs(architecture.config).values()
    assert graph.nbytes == 4 * parameters


def test_random_vit_comes_whole_and_alike_every_time(own_cache: Path) -> None:
    package = resolve("random:vit-base-patch16-224")
    assert (package.family, package.weights) == ("vision", "random")
    processor = json.loads((package.model.path.parents[1] / "preprocessor_config.json").read_text())
    assert processor["size"] == {"height": 224, "width": 224}
    session = NativeSession(package)
    one = session.run(np.zeros((1, 3, 224, 224), np.float32))["logits"]
    other = session.run(np.ones((1, 3, 224, 224), np.float32))["logits"]
    assert np.isfinite(one).all()
    assert not np.allclose(one, other)
    again = ARCHITECTURES["vit-base-patch16-224"].weights(0)
    stored = next(w for w in onnx.load(package.model.path).graph.initializer if w.name == "classifier.weight.T")
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(stored).T, again("classifier.weight", (1000, 768)))


def test_random_clip_takes_text_by_its_tokenizer(own_cache: Path) -> None:
    package = resolve("random:clip-vit-base-patch32")
    assert package.family == "multimodal"
    assert package.tokenizer is not None
    tokenizer = Tokenizer(package.tokenizer)
    assert tokenizer.max_length == 77
    tokens = tokenizer.encode(["a dog", "ab!"])
    # As in CLIP's vocabulary: "a</w>" is 320, "d", "o" and "g</w>" 67, 78 and 326; padding is the end token.
    assert tokens["input_ids"].tolist() == [[49406, 320, 67, 78, 326, 49407], [49406, 64, 321, 256, 49407, 49407]]
    assert tokens["attention_mask"].tolist() == [[1] * 6, [1] * 5 + [0]]
    tokens.pop("token_type_ids")
    answer = NativeSession(package).run({**tokens, "pixel_values": np.zeros((1, 3, 224, 224), np.float32)})
    np.testing.assert_allclose(np.linalg.norm(answer["text_embeds"], axis=1), 1, atol=1e-5)
    cosines = answer["image_embeds"] @ answer["text_embeds"].T
    np.testing.assert_allclose(answer["logits_per_image"], cosines / 0.07, atol=1e-4)


@pytest.mark.parametrize("graph", [vit(CLASSIFIER), clip(CLIP)], ids=["vit", "clip"])
def test_built_file_is_what_the_full_checker_accepts(tmp_path: Path, graph: Graph) -> None:
    graph.save(tmp_path / "model.onnx", random_weights(1))
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)


def test_half_precision_is_close(tmp_path: Path) -> None:
    full = run(vit(CLASSIFIER), tmp_path, pixel_values=pixels())["logits"]
    half = run(vit(CLASSIFIER, dtype="float16"), tmp_path, pixel_values=pixels())["logits"]
    assert half.dtype == np.float32
    np.testing.assert_allclose(full, half, atol=0.02)


@pytest.mark.parametrize("change", [{"hidden_act": "relu"}, {"qkv_bias": False}, {"pooler_act": "relu"}])
def test_variants_of_vit_that_cannot_be_built_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        vit(CLASSIFIER | change)


def test_clip_with_another_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="quick_gelu"):
        clip({**CLIP, "vision_config": {**CLIP["vision_config"], "hidden_act": "gelu"}})
