"""Small models under the names that the guide uses, with the inputs and outputs of the real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from webinfer.models.zoo.architectures.text.bert import bert
from webinfer.models.zoo.formats.weights import random_weights

BERT, VIT, SLOW = "bert-base-uncased", "vit-base-patch16-224", "whisper-slow"
SEED = 7
TOKENS = {"input_ids": [101, 2023, 2003, 1037, 3231, 102], "attention_mask": [1, 1, 1, 1, 1, 1]}

_BERT_CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 32,
    "intermediate_size": 64,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 64,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}


def image() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return one picture as ViT takes it: float32 of shape (3, 224, 224)."""
    return np.random.default_rng(SEED).random((3, 224, 224), np.float32)


def build(root: Path) -> Path:
    """Write the models below ``root``, and return it."""
    bert(_BERT_CONFIG).save(_file(root / BERT, _BERT_CONFIG), random_weights(SEED))
    onnx.save(_vit(), _file(root / VIT, {"model_type": "vit"}))
    onnx.save(_slow(), _file(root / SLOW, {"model_type": "whisper"}))
    return root


def _file(directory: Path, config: dict[str, Any]) -> Path:
    (directory / "onnx").mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return directory / "onnx" / "model.onnx"


def _vit() -> onnx.ModelProto:
    """Return a classifier of pictures: patches of 16 x 16, their mean, a linear layer."""
    generator = np.random.default_rng(SEED)
    patches = generator.standard_normal((8, 3, 16, 16), np.float32) * 0.02
    classes = generator.standard_normal((8, 10), np.float32)
    nodes = [
        helper.make_node("Conv", ["pixel_values", "patches"], ["embedded"], strides=[16, 16], kernel_shape=[16, 16]),
        helper.make_node("GlobalAveragePool", ["embedded"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["pooled"]),
        helper.make_node("MatMul", ["pooled", "classes"], ["logits"]),
    ]
    return _model(
        nodes,
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ("batch", 3, 224, 224))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("batch", 10))],
        [numpy_helper.from_array(patches, "patches"), numpy_helper.from_array(classes, "classes")],
    )


def _slow() -> onnx.ModelProto:
    """Return a model that multiplies matrices ``turns`` times, some milliseconds each, and sums ``features``."""
    side = 256
    body = helper.make_graph(
        [helper.make_node("MatMul", ["state", "weights"], ["next"]), helper.make_node("Identity", ["going"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [side, side]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [side, side]),
        ],
    )
    nodes = [
        helper.make_node("Squeeze", ["turns"], ["count"]),
        helper.make_node("Loop", ["count", "", "weights"], ["final"], body=body),
        helper.make_node("ReduceSum", ["final"], ["product"], keepdims=0),
        helper.make_node("ReduceSum", ["features"], ["sum"], keepdims=0),
        helper.make_node("Add", ["product", "sum"], ["y"]),
    ]
    return _model(
        nodes,
        [
            helper.make_tensor_value_info("turns", TensorProto.INT64, (1,)),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ("n",)),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ())],
        [numpy_helper.from_array(np.eye(side, dtype=np.float32), "weights")],
    )


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    initializers: list[onnx.TensorProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
