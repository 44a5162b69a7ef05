"""Precisions that onnxruntime's and onnx's own tools make: half floats, dynamic int8, a newer opset."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, numpy_helper

from webinfer.core.errors import NotQuantizable
from webinfer.models.files.package import ModelPackage
from webinfer.quantization.half.graph import halve_graph
from webinfer.quantization.weights.reader import Weights, opset_of
from webinfer.quantization.weights.rewrite import hoist
from webinfer.quantization.weights.targets import held, targets

log = logging.getLogger("webinfer.models")

BLOCKED_OPSET = 21  # of DequantizeLinear with blocks and 4 bits
_LIMIT = 2_000_000_000  # bytes; these tools hold a model in one message, which cannot be larger


def to_half(package: ModelPackage, path: Path) -> dict[str, str]:
    """Write a model with its weights and its arithmetic in float16; inputs and outputs keep their dtype.

    Args:
        package: The model.
        path: Where it goes.

    Returns:
        What was left as it was, by name, with the reason.

    Raises:
        NotQuantizable: It cannot be converted.
    """
    _check_size(package)
    model = onnx.load(package.model.path)
    hoist(model.graph)
    if not any(tensor.data_type == TensorProto.FLOAT for tensor in model.graph.initializer):
        raise NotQuantizable(
            f"{package.name} has no float32 weights to make smaller{held(model)}: take it as it is.", reason="nothing"
        )
    halve_graph(model)
    onnx.save(model, path)
    return {}


def to_dynamic(package: ModelPackage, path: Path) -> dict[str, str]:
    """Write a model with int8 weights whose activations are quantized while it runs.

    Args:
        package: The model.
        path: Where it goes.

    Returns:
        What was left as it was, by name, with the reason.

    Raises:
        NotQuantizable: It has no such weights, or half floats.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic  # late: it takes a while to import

    _check_size(package)
    outlined = Weights(package.model.path).model
    candidates, left = targets(outlined)
    products = [target for target in candidates if any(use.role in ("columns", "rows") for use in target.uses)]
    if not products:
        raise NotQuantizable(
            f"{package.name} has no product with a constant matrix to quantize{held(outlined)}: take it as it is, or "
            "q8, which knows filters and tables too.",
            reason="nothing",
            left=left,
        )
    if any(target.dtype == TensorProto.FLOAT16 for target in products):
        raise NotQuantizable(
            f"{package.name} is in half floats, which onnxruntime's dynamic quantization makes no valid model of: "
            "start from its full precision, or take q8.",
            reason="half",
        )
    with _quiet():
        quantize_dynamic(
            _with_hoisted(package),
            path,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            per_channel=True,
            weight_type=QuantType.QUInt8,
        )
    return left


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence onnxruntime's tool, which warns of each model that another tool of its own was not run on."""
    root = logging.getLogger()  # the tool logs there, and has no logger of its own
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)


def _with_hoisted(package: ModelPackage) -> Path | ModelProto:
    """Return a model whose weights are where onnxruntime's tool looks for them: in no ``Constant`` nodes."""
    model = onnx.load(package.model.path, load_external_data=False)
    count = len(model.graph.node)
    hoist(model.graph)
    if len(model.graph.node) == count:
        return package.model.path
    onnx.external_data_helper.load_external_data_for_model(model, str(package.model.path.parent))
    return model


def halve(weights: Weights) -> None:
    """Have what is left of a model's floats be float16, in place.

    Args:
        weights: The model's weights.
    """
    for tensor in weights.model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor.CopyFrom(numpy_helper.from_array(weights.read(tensor.name), tensor.name))
    halve_graph(weights.model)


def raise_opset(model: ModelProto) -> None:
    """Bring a model to the opset whose DequantizeLinear knows 4 bits, in place, where onnx's converter can.

    Args:
        model: The model, changed in place.
    """
    current = opset_of(model)
    if current >= BLOCKED_OPSET:
        return
    try:
        converted = onnx.version_converter.convert_version(model, BLOCKED_OPSET)
    except Exception as error:  # it raises whatever its C++ does
        log.info("the model stays at opset %d: %s", current, error)
        return
    model.CopyFrom(converted)


def _check_size(package: ModelPackage) -> None:
    if package.nbytes > _LIMIT:
        raise NotQuantizable(
            f"{package.name} takes {package.nbytes / 1e9:.1f} GB, more than onnxruntime's tool for this precision can "
            "hold: q8 and q4 have no such limit.",
            reason="size",
            nbytes=package.nbytes,
        )
