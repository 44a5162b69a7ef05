"""The types of a graph's values, as far as onnx can tell them."""

from __future__ import annotations

import logging

import onnx
from onnx import GraphProto, ModelProto, TensorProto

from webinfer.quantization.half.bodies import bodies

log = logging.getLogger("webinfer.models")

_SMALL = 1024  # bytes; larger weights tell nothing of types or shapes


def infer_types(model: ModelProto) -> None:
    """Note the type of each value in its graph, in place, where onnx can tell it.

    Args:
        model: The model, with its weights inside.
    """
    try:
        inferred = onnx.shape_inference.infer_shapes(_without_weights(model))
    except Exception as error:  # it raises whatever its C++ does
        log.info("the types of the model's values stay unknown: %s", error)
        return
    _note(model.graph, inferred.graph)


def _without_weights(model: ModelProto) -> ModelProto:
    light = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    graph = model.graph
    light.graph.node.extend(graph.node)
    light.graph.input.extend(graph.input)
    light.graph.output.extend(graph.output)
    light.graph.value_info.extend(graph.value_info)
    for tensor in graph.initializer:
        if len(tensor.raw_data) <= _SMALL:
            light.graph.initializer.append(tensor)
            continue
        outside = TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
        outside.data_location = TensorProto.EXTERNAL
        outside.external_data.add(key="location", value="weights")
        light.graph.initializer.append(outside)
    return light


def _note(graph: GraphProto, inferred: GraphProto) -> None:
    known = {value.name for value in (*graph.value_info, *graph.input, *graph.output)}
    graph.value_info.extend(value for value in inferred.value_info if value.name not in known)
    for node, other in zip(graph.node, inferred.node, strict=True):
        for body, same in zip(bodies(node), bodies(other), strict=True):
            _note(body, same)
