"""Small text models with tokenizers of their own, written to a directory in the hub's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import models, pre_tokenizers, processors

from webinfer.models.zoo.formats.graph import Graph

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", "good", "bad", "film", "the", "a", "was", "music", "very"]
WIDTH = 6


def tokenizer(directory: Path) -> None:
    inner = tokenizers.Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    inner.add_special_tokens(WORDS[:5])
    inner.save(str(directory / "tokenizer.json"))


def weights(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(len(name)).standard_normal(shape, dtype=np.float32)


def write(directory: Path, graph: Graph, **config: Any) -> Path:
    directory.mkdir()
    graph.save(directory / "model.onnx", weights)
    tokenizer(directory)
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def inputs(graph: Graph) -> tuple[str, str]:
    """Return each token's vector, and the sum over the tokens that the mask keeps, (batch, 1, WIDTH)."""
    ids, mask = (graph.input(name, "int64", ("batch", "sequence")) for name in ("input_ids", "attention_mask"))
    vectors = graph.add("Gather", graph.weight("words", (len(WORDS), WIDTH)), ids)
    kept = graph.add("Unsqueeze", graph.add("Cast", mask, to=1), graph.constant([2], "int64"))
    return vectors, graph.add("ReduceSum", graph.add("Mul", vectors, kept), graph.constant([1], "int64"), keepdims=1)


def classifier(directory: Path, labels: int = 3, **config: Any) -> Path:
    """Write a model that gives labels by the sum of its words' vectors."""
    graph = Graph("classifier")
    _, total = inputs(graph)
    flat = graph.add("Squeeze", total, graph.constant([1], "int64"))
    logits = graph.add("MatMul", flat, graph.weight("labels", (WIDTH, labels)))
    graph.output(logits, "logits", "float32", ("batch", labels))
    config.setdefault("id2label", {str(at): f"label {at}" for at in range(labels)})
    return write(directory, graph, **config)


def masked(directory: Path) -> Path:
    """Write a model that scores words for each place by that place's word and by the whole text."""
    graph = Graph("masked")
    vectors, total = inputs(graph)
    logits = graph.add("MatMul", graph.add("Add", vectors, total), graph.weight("vocabulary", (WIDTH, len(WORDS))))
    graph.output(logits, "logits", "float32", ("batch", "sequence", len(WORDS)))
    return write(directory, graph)
