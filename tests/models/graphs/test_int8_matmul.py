"""Products in 8-bit integers come close to the exact ones, row by row, whatever else is in the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from tests.modelfiles import Write, value
from webinfer.models.graphs.fusion import import_contrib
from webinfer.models.graphs.fusion.int8_matmul import GELU, OPERATOR, Observe, to_integers

RANDOM = np.random.default_rng(3)
WIDE, TALL = RANDOM.standard_normal((64, 96), np.float32), RANDOM.standard_normal((64, 32), np.float32)


def save(write: Write, opset: int = 17) -> Path:
    """Two products of one factor, and one that is too narrow."""
    weights = {"wide": WIDE, "tall": TALL, "narrow": WIDE[:, :8].copy()}
    path = write(
        nodes=[helper.make_node("MatMul", ["x", name], [f"{name}_y"]) for name in weights],
        inputs=[value("x", shape=("rows", 64))],
        outputs=[value(f"{name}_y", shape=None) for name in weights],
        initializers=[numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = onnx.load(path)
    model.opset_import[0].version = opset
    onnx.save(model, path)
    return path


def unseen(names: list[str]) -> dict[str, np.ndarray]:
    return {}


def rewritten(path: Path, observe: Observe = unseen) -> tuple[onnx.ModelProto, dict[str, int]]:
    model = onnx.load(path)
    done = to_integers(model, numpy_helper.to_array, observe)
    import_contrib(model)
    return model, done


def run(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    return list(onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x}))


def error(exact: np.ndarray, got: np.ndarray) -> float:
    return float(np.linalg.norm(exact - got) / np.linalg.norm(exact))


@pytest.mark.parametrize("opset", [17, 18, 21])
def test_products_with_wide_constants_are_computed_in_integers(write: Write, opset: int) -> None:
    path = save(write, opset)
    model, done = rewritten(path)
    assert done == {OPERATOR: 2}
    assert [node.op_type for node in model.graph.node].count(OPERATOR) == 2
    assert [node.op_type for node in model.graph.node].count("QuantizeLinear") == 1  # of the factor that they share
    assert {"wide", "tall"}.isdisjoint(tensor.name for tensor in model.graph.initializer)
    x = RANDOM.standard_normal((5, 64), np.float32)
    for exact, got in zip(run(onnx.load(path), x), run(model, x), strict=True):
        assert error(exact, got) < 0.015


def test_outlier_costs_only_its_own_row_precision(write: Write) -> None:
    model, _ = rewritten(save(write))
    x = RANDOM.standard_normal((2, 64), np.float32)
    alone = run(model, x[:1])[0]
    x[1, 0] = 1e4
    np.testing.assert_array_equal(run(model, x)[0][:1], alone)


def test_row_of_zeros_gives_zeros(write: Write) -> None:
    model, _ = rewritten(save(write))
    assert not run(model, np.zeros((1, 64), np.float32))[0].any()


def test_model_without_wide_products_is_left_alone(write: Write) -> None:
    path = write(
        nodes=[helper.make_node("MatMul", ["x", "narrow"], ["y"])],
        inputs=[value("x", shape=("rows", 64))],
        outputs=[value("y", shape=None)],
        initializers=[numpy_helper.from_array(WIDE[:, :8].copy(), "narrow")],
    )
    model = onnx.load(path)
    before = model.SerializeToString()
    assert to_integers(model, numpy_helper.to_array, unseen) == {}
    assert model.SerializeToString() == before


def test_channels_that_are_large_are_multiplied_in_floats(write: Write) -> None:
    path = save(write)
    x = RANDOM.standard_normal((5, 64), np.float32)
    x[:, [3, 50]] *= 300  # steps for these would leave nothing of the others
    rounded, _ = rewritten(path)
    kept, _ = rewritten(path, lambda names: {name: np.abs(x).max(0) for name in names})
    others = np.delete(np.arange(64), [3, 50])
    for weights, all_rounded, some_rounded in zip((WIDE, TALL), run(rounded, x), run(kept, x), strict=False):
        large, rest = x[:, [3, 50]] @ weights[[3, 50]], x[:, others] @ weights[others]
        assert error(rest, all_rounded - large) > 0.2
        assert error(rest, some_rounded - large) < 0.02


def test_weight_of_two_factors_keeps_the_channels_of_each(write: Write) -> None:
    path = write(
        nodes=[
            helper.make_node("Mul", ["x", "turned"], ["other"]),
            helper.make_node("MatMul", ["x", "wide"], ["y"]),
            helper.make_node("MatMul", ["other", "wide"], ["z"]),
        ],
        inputs=[value("x", shape=("rows", 64))],
        outputs=[value("y", shape=None), value("z", shape=None)],
        initializers=[
            numpy_helper.from_array(WIDE, "wide"),
            numpy_helper.from_array(np.where(np.arange(64) == 9, 300, 1).astype(np.float32), "turned"),
        ],
    )
    x = RANDOM.standard_normal((5, 64), np.float32)
    x[:, 3] *= 300
    turned = np.abs(x * np.where(np.arange(64) == 9, 300, 1)).max(0)
    model, done = rewritten(path, lambda names: {"x": np.abs(x).max(0), "other": turned})
    assert done == {OPERATOR: 2}
    for exact, got in zip(run(onnx.load(path), x), run(model, x), strict=True):
        assert error(exact, got) < 1e-3


def test_results_of_gelu_take_every_step(write: Write) -> None:
    root = numpy_helper.from_array(np.array(np.sqrt(2), np.float32), "root")
    one, half = (
        numpy_helper.from_array(np.array(number, np.float32), name) for number, name in ((1, "one"), (0.5, "half"))
    )
    path = write(
        nodes=[
            helper.make_node("Div", ["x", "root"], ["a"]),
            helper.make_node("Erf", ["a"], ["b"]),
            helper.make_node("Add", ["b", "one"], ["c"]),
            helper.make_node("Mul", ["x", "c"], ["d"]),
            helper.make_node("Mul", ["d", "half"], ["e"]),
            helper.make_node("MatMul", ["e", "wide"], ["y"]),
        ],
        inputs=[value("x", shape=("rows", 64))],
        outputs=[value("y", shape=None)],
        initializers=[numpy_helper.from_array(WIDE, "wide"), root, one, half],
    )
    model, done = rewritten(path)
    assert done == {OPERATOR: 1, GELU: 1}
    x = RANDOM.standard_normal((50, 64), np.float32) * 4
    (exact,), (got,) = run(onnx.load(path), x), run(model, x)
    assert error(exact, got) < 0.008  # 0.009 with steps to both sides of zero
