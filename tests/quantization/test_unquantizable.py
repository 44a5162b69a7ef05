"""A model with nothing to quantize is refused in every precision, with what it holds instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.modelfiles import Write, value
from webinfer.core.errors import NotQuantizable
from webinfer.models.files.package import describe
from webinfer.quantization import SCHEMES, scheme_of
from webinfer.quantization.quantizer import make

node = helper.make_node
PRECISIONS = [name for name in SCHEMES if name != "fp32"]
FLOATS = np.random.default_rng(5).standard_normal((64, 64)).astype(np.float32)
WHOLE = (FLOATS * 20).astype(np.int8)


def product(write: Write, weights: Any, dtype: int, *nodes: Any, **others: Any) -> Path:
    """Write a model that multiplies ``x`` with a matrix, or does something else with it."""
    return write(
        nodes=nodes or [node("MatMul", ["x", "w"], ["y"])],
        inputs=[value("x", dtype, ("n", 64))],
        outputs=[value("y", dtype, ("n", 64))],
        initializers=[
            numpy_helper.from_array(np.asarray(array), name) for name, array in {"w": weights, **others}.items()
        ],
    )


def made(path: Path, precision: str, directory: Path) -> dict[str, Any]:
    directory.mkdir()
    return make(describe(path, str(path)), scheme_of(precision), directory, lambda part: None)


def refused(path: Path, precision: str, directory: Path) -> NotQuantizable:
    with pytest.raises(NotQuantizable) as caught:
        made(path, precision, directory)
    assert not list(directory.rglob("*.onnx"))  # nothing that could be taken for it
    return caught.value


@pytest.mark.parametrize("precision", PRECISIONS)
def test_model_without_weights_has_nothing_to_quantize(write: Write, tmp_path: Path, precision: str) -> None:
    error = refused(write(), precision, tmp_path / "out")
    assert error.data["reason"] == "nothing"
    assert "holds" not in str(error)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_model_of_whole_numbers_has_nothing_to_quantize_and_is_told_what_it_holds(
    write: Write, tmp_path: Path, precision: str
) -> None:
    error = refused(product(write, WHOLE.astype(np.int64), TensorProto.INT64), precision, tmp_path / "out")
    assert error.data["reason"] == "nothing"
    assert "(it holds int64)" in str(error)


RESTORED = node("DequantizeLinear", ["w", "scale"], ["h"]), node("MatMul", ["x", "h"], ["y"])
INTEGERS = (
    node("DynamicQuantizeLinear", ["x"], ["a", "b", "c"]),
    node("MatMulInteger", ["a", "w", "c"], ["d"]),
    node("Cast", ["d"], ["y"], to=TensorProto.FLOAT),
)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("nodes", [RESTORED, INTEGERS], ids=["restored", "integers"])
def test_quantized_model_is_not_quantized_again(
    write: Write, tmp_path: Path, precision: str, nodes: tuple[Any, ...]
) -> None:
    path = product(write, WHOLE, TensorProto.FLOAT, *nodes, scale=np.float32(0.05))
    error = refused(path, precision, tmp_path / "out")
    assert error.data["reason"] == "quantized"
    assert error.data["operators"] == [
        each.op_type for each in nodes if each.op_type in ("DequantizeLinear", "MatMulInteger")
    ]


@pytest.mark.parametrize(("precision", "reason"), [("fp16", "nothing"), ("int8", "half")])
def test_half_floats_are_not_halved_and_not_made_into_a_model_that_cannot_run(
    write: Write, tmp_path: Path, precision: str, reason: str
) -> None:
    error = refused(product(write, FLOATS.astype(np.float16), TensorProto.FLOAT16), precision, tmp_path / "out")
    assert error.data["reason"] == reason


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_in_constant_nodes_are_quantized_like_others(write: Write, tmp_path: Path, precision: str) -> None:
    weights = numpy_helper.from_array(FLOATS, "weights")
    constant = node("Constant", [], ["h"], value=weights)
    path = product(write, WHOLE[0], TensorProto.FLOAT, constant, node("MatMul", ["x", "h"], ["y"]))
    report = made(path, precision, tmp_path / "out")
    assert report["nbytes"] < 0.6 * report["nbytes_before"]
