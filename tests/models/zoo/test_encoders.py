"""Graphs built here compute what their architecture says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from webinfer.accuracy.native import NativeSession
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.architectures.text.bert import bert
from webinfer.models.zoo.formats.graph import Graph
from webinfer.models.zoo.formats.weights import random_weights, safetensors_weights

CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 24,
    "intermediate_size": 40,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 20,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": 50,
}
Array = NDArray[Any]


def loud(name: str, shape: tuple[int, ...]) -> Array:
    """Return weights far from their initial values, so that no term can be forgotten without being seen."""
    generator = np.random.default_rng(list(name.encode()))
    return (generator.standard_normal(shape) * 0.3 + (1 if name.endswith("LayerNorm.weight") else 0)).astype(np.float32)


def reference(config: dict[str, Any], ids: Array, mask: Array, types: Array) -> Array:
    """Compute BERT in plain NumPy, float64, one item and head at a time, with hidden positions left out."""
    width, heads = config["hidden_size"], config["num_attention_heads"]

    def get(name: str, *shape: int) -> Array:
        return loud(name, shape).astype(np.float64)

    def norm(x: Array, name: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config["layer_norm_eps"])
        return np.asarray(scaled * get(f"{name}.weight", width) + get(f"{name}.bias", width))

    def dense(x: Array, name: str, size_in: int, size_out: int) -> Array:
        return np.asarray(x @ get(f"{name}.weight", size_out, size_in).T + get(f"{name}.bias", size_out))

    def attend(x: Array, kept: Array, name: str) -> Array:
        query, key, value = (dense(x, f"{name}.self.{part}", width, width) for part in ("query", "key", "value"))
        mixed = np.zeros_like(x)
        size = width // heads
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[kept][:, part].T / math.sqrt(size)
            chances = np.exp(scores - scores.max(-1, keepdims=True))
            mixed[:, part] = chances / chances.sum(-1, keepdims=True) @ value[kept][:, part]
        return dense(mixed, f"{name}.output.dense", width, width)

    rows = []
    for number in range(len(ids)):
        x = get("embeddings.word_embeddings.weight", config["vocab_size"], width)[ids[number]]
        x = x + get("embeddings.position_embeddings.weight", config["max_position_embeddings"], width)[: len(x)]
        x = x + get("embeddings.token_type_embeddings.weight", config["type_vocab_size"], width)[types[number]]
        x = norm(x, "embeddings.LayerNorm")
        for layer in range(config["num_hidden_layers"]):
            name, inner = f"encoder.layer.{layer}", config["intermediate_size"]
            x = norm(x + attend(x, mask[number] == 1, f"{name}.attention"), f"{name}.attention.output.LayerNorm")
            wide = dense(x, f"{name}.intermediate.dense", width, inner)
            wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
            x = norm(x + dense(wide, f"{name}.output.dense", inner, width), f"{name}.output.LayerNorm")
        rows.append(x)
    return np.stack(rows)


def inputs(batch: int, sequence: int) -> dict[str, Array]:
    generator = np.random.default_rng(3)
    mask = np.ones((batch, sequence), np.int64)
    mask[-1, sequence // 2 + 1 :] = 0
    ids, types = (generator.integers(0, limit, (batch, sequence)) for limit in (50, 2))
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


@pytest.mark.parametrize(("batch", "sequence"), [(1, 1), (2, 7), (3, 20)])
def test_bert_equals_plain_numpy(tmp_path: Path, batch: int, sequence: int) -> None:
    bert(CONFIG).save(tmp_path / "bert.onnx", loud)
    given = inputs(batch, sequence)
    got = NativeSession(resolve(tmp_path / "bert.onnx")).run(given)["last_hidden_state"]
    expected = reference(CONFIG, *given.values())
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-5, rtol=1e-5)


def test_bert_in_half_precision_is_close_and_half_the_size(tmp_path: Path) -> None:
    bert(CONFIG).save(tmp_path / "full.onnx", random_weights(1))
    bert(CONFIG, dtype="float16").save(tmp_path / "half.onnx", random_weights(1))
    full, half = resolve(tmp_path / "full.onnx"), resolve(tmp_path / "half.onnx")
    assert (full.precision, half.precision) == ("fp32", "fp16")
    assert bert(CONFIG).nbytes == 2 * bert(CONFIG, dtype="float16").nbytes
    one, other = (NativeSession(package).run(inputs(2, 7))["last_hidden_state"] for package in (full, half))
    assert other.dtype == np.float32
    np.testing.assert_allclose(one, other, atol=0.02)


def test_built_file_is_what_the_full_checker_accepts(tmp_path: Path) -> None:
    bert(CONFIG).save(tmp_path / "bert.onnx", random_weights(1))
    onnx.checker.check_model(str(tmp_path / "bert.onnx"), full_check=True)
    model = onnx.load(tmp_path / "bert.onnx")
    assert model.opset_import[0].version == 17
    assert model.SerializeToString() == onnx.load_from_string(model.SerializeToString()).SerializeToString()
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    assert inferred.graph.output[0].type == model.graph.output[0].type


@pytest.mark.parametrize("change", [{"hidden_act": "relu"}, {"position_embedding_type": "relative_key"}])
def test_variants_that_cannot_be_built_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        bert(CONFIG | change)


def test_equal_constants_are_stored_once() -> None:
    graph = Graph("g")
    assert graph.constant(0.5) == graph.constant(0.5)
    assert len({graph.constant(1), graph.constant([1]), graph.constant(1, "int64"), graph.constant(2)}) == 4


def test_weight_of_another_shape_is_refused(tmp_path: Path) -> None:
    graph = Graph("g")
    graph.weight("w", (2, 3))
    with pytest.raises(ValueError, match=r"w has the shape \(3,\), not \(2, 3\)"):
        graph.save(tmp_path / "g.onnx", lambda name, shape: np.zeros(3, np.float32))


def test_model_too_large_for_one_file_is_refused_before_writing(tmp_path: Path) -> None:
    graph = Graph("huge")
    graph.weight("w", (1 << 15, 1 << 14))
    with pytest.raises(ValueError, match="huge has 2,147,"):
        graph.save(tmp_path / "g.onnx", random_weights(0))
    assert not (tmp_path / "g.onnx").exists()


def test_random_weights_depend_on_seed_and_name_only() -> None:
    one, same, other = random_weights(1), random_weights(1), random_weights(2)
    one("b", (3, 3))
    np.testing.assert_array_equal(one("a", (4, 5)), same("a", (4, 5)))
    assert not np.array_equal(one("a", (4, 5)), other("a", (4, 5)))
    assert not np.array_equal(one("a", (4, 5)), one("b", (4, 5)))
    assert one("x.bias", (2,)).tolist() == [0, 0]
    assert one("norm.weight", (2,)).tolist() == [1, 1]
    assert float(one("a", (400, 400)).std()) == pytest.approx(0.02, rel=0.02)


def test_safetensors_weights_are_read_by_name(tmp_path: Path) -> None:
    save_file({"bert.w": np.arange(6, dtype=np.float32).reshape(2, 3)}, tmp_path / "w.safetensors")
    weights = safetensors_weights(tmp_path / "w.safetensors", prefix="bert.")
    assert weights("w", (2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match=r"bert.w in w.safetensors has the shape \(2, 3\)"):
        weights("w", (3, 2))
