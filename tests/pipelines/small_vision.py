"""Small models of images, written to a directory in the hub's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.models.zoo.architectures.vision.clip import clip
from webinfer.models.zoo.architectures.vision.vit import vit
from webinfer.models.zoo.formats.graph import Graph
from webinfer.models.zoo.random.vision import clip_tokenizer

TOWER: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "image_size": 32,
    "patch_size": 8,
}
PROCESSOR = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
LABELS = 4
_PATCH, _WIDTH = 8, 6


def weights(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return weights large enough that different images give different answers."""
    values = np.random.default_rng(list(name.encode())).standard_normal(shape, dtype=np.float32)
    return np.asarray(values * 0.3 + ("norm" in name and name.endswith(".weight")), np.float32)


def write(directory: Path, graph: Graph, config: dict[str, Any], **files: Any) -> Path:
    directory.mkdir()
    graph.save(directory / "model.onnx", weights)
    for name, contents in {"config": config, "preprocessor_config": PROCESSOR, **files}.items():
        (directory / f"{name}.json").write_text(json.dumps(contents), encoding="utf-8")
    return directory


def vision(directory: Path, architecture: str = "ViTForImageClassification", **config: Any) -> Path:
    """Write a vision transformer."""
    names = {str(number): f"label {number}" for number in range(LABELS)}
    whole = {**TOWER, "layer_norm_eps": 1e-12, "architectures": [architecture], "model_type": "vit", "id2label": names}
    return write(directory, vit(whole), {**whole, **config})


def two_towers(directory: Path, **config: Any) -> Path:
    """Write a CLIP."""
    tower = {**TOWER, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
    text = {**tower, "vocab_size": 514, "max_position_embeddings": 77}
    whole = {"model_type": "clip", "projection_dim": 16, "text_config": text, "vision_config": tower, **config}
    files = {"tokenizer": clip_tokenizer(514), "tokenizer_config": {"pad_token": "<|endoftext|>"}}
    return write(directory, clip(whole), whole, **files)


def detector(directory: Path, *, mask: tuple[int | str, int | str] | None = None, **files: Any) -> Path:
    """Write a model that looks at each patch of an image by itself and puts a box somewhere; all sizes will do.

    Args:
        directory: Where to.
        mask: Height and width of its input ``pixel_mask``, whose mean its scores are multiplied with.
        files: Contents of other files; ``config`` is added to.
    """
    graph = Graph("detector")
    pixels = graph.input("pixel_values", "float32", ("batch", 3, "height", "width"))
    kernel = graph.weight("patches", (_WIDTH, 3, _PATCH, _PATCH))
    grid = graph.add("Conv", pixels, kernel, kernel_shape=[_PATCH] * 2, strides=[_PATCH] * 2)
    flat = graph.add("Reshape", graph.add("Tanh", grid), graph.constant([0, _WIDTH, -1], "int64"))
    x = graph.add("Transpose", flat, perm=[0, 2, 1])
    logits = graph.add("MatMul", x, graph.weight("classes", (_WIDTH, LABELS + 1)))
    if mask is not None:
        kept = graph.add("Cast", graph.input("pixel_mask", "int64", ("batch", *mask)), to=1)
        share = graph.add(
            "Unsqueeze", graph.add("ReduceMean", kept, axes=[1, 2], keepdims=0), graph.constant([1, 2], "int64")
        )
        logits = graph.add("Mul", logits, share)
    graph.output(logits, "logits", "float32", ("batch", "queries", LABELS + 1))
    boxes = graph.add("Sigmoid", graph.add("MatMul", x, graph.weight("places", (_WIDTH, 4))))
    graph.output(boxes, "pred_boxes", "float32", ("batch", "queries", 4))
    names = {str(number): f"thing {number}" for number in range(LABELS + 1)}
    config = {"model_type": "detr", "id2label": names, **files.pop("config", {})}
    return write(directory, graph, config, **files)
