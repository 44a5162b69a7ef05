"""A graph as the browser's runtime can take it: of versions that it knows, and with outputs that it can hand out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import onnx
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

_NEWEST_IR = 13  # of ONNX Runtime Web 1.30, as are these
_NEWEST_OPSETS: Mapping[str, int] = {"": 26, "ai.onnx.ml": 5}
_NEWEST_DTYPE = TensorProto.INT2  # which IR version 13 brought


def adapt(model: ModelProto, outputs: Sequence[str]) -> list[str]:
    """Adapt a model to the browser's runtime, in place, as far as that changes no answer.

    Args:
        model: The model, or its outline.
        outputs: The outputs to keep; what only others need goes.

    Returns:
        What was done, as notes for results.
    """
    return [*_lower_versions(model), *_keep_outputs(model.graph, outputs)]


# Versions


def _lower_versions(model: ModelProto) -> list[str]:
    """Lower the versions of the format and of operators where nothing in the model needs them.

    Returns:
        A note, or none.
    """
    lowered = []
    imports = [*model.opset_import, *(opset for function in model.functions for opset in function.opset_import)]
    versions = {_domain(opset.domain): opset.version for opset in imports}
    for domain, newest in _NEWEST_OPSETS.items():
        version = versions.get(domain, 0)
        if version > newest and _operators_are_older(model, domain, version, newest):
            for opset in imports:
                opset.version = newest if _domain(opset.domain) == domain else opset.version
            lowered.append(f"{domain or 'opset'} {version} to {newest}")
    if _NEWEST_IR < model.ir_version <= onnx.IR_VERSION and _format_is_older(model):
        lowered.append(f"IR version {model.ir_version} to {_NEWEST_IR}")
        model.ir_version = _NEWEST_IR
    if not lowered:
        return []
    return [f"lowered for the browser's runtime, since nothing in the model needs more: {' and '.join(lowered)}"]


def _operators_are_older(model: ModelProto, domain: str, version: int, newest: int) -> bool:
    """Return whether each operator of a domain is the same in an older version."""
    if version > onnx.defs.onnx_opset_version() and not domain:
        return False  # what that brought is not known here
    for node in _nodes(model):
        if _domain(node.domain) != domain or any(function.name == node.op_type for function in model.functions):
            continue
        try:
            schema = onnx.defs.get_schema(node.op_type, version, domain)
        except onnx.defs.SchemaError:
            return False
        if schema.since_version > newest or schema.deprecated:
            return False
    return True


def _format_is_older(model: ModelProto) -> bool:
    """Return whether a model has neither fields nor dtypes that an older version of the format lacks."""
    return not _has_unknown_fields(model) and all(
        dtype <= _NEWEST_DTYPE for part in _parts(model) for dtype in _dtypes(part)
    )


def _parts(message: Any) -> Iterator[Any]:
    """Yield a message and all messages in it."""
    yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        for inner in value if not hasattr(value, "ListFields") else [value]:
            yield from _parts(inner)


def _has_unknown_fields(model: ModelProto) -> bool:
    return any(len(UnknownFieldSet(part)) for part in _parts(model))


def _dtypes(part: Any) -> Iterator[int]:
    if isinstance(part, TensorProto):
        yield part.data_type
    elif isinstance(part, onnx.TypeProto.Tensor | onnx.TypeProto.SparseTensor):
        yield part.elem_type


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    yield from _inner(model.graph.node)
    for function in model.functions:
        yield from _inner(function.node)


def _inner(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Yield nodes and those of the graphs inside of them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _inner(graph.node)


# Outputs


def _keep_outputs(graph: GraphProto, outputs: Sequence[str]) -> list[str]:
    """Leave out outputs, and the nodes that only they need.

    Returns:
        A note, or none.
    """
    others = [value.name for value in graph.output if value.name not in outputs]
    if not others:
        return []
    kept = [
        onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in graph.output if value.name in outputs
    ]
    del graph.output[:]
    graph.output.extend(kept)
    needed = set(outputs)
    nodes: list[NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(NodeProto.FromString(node.SerializeToString()))
            needed.update(name for inner in _inner([node]) for name in inner.input)
            needed.update(value.name for body in _bodies(node) for value in body.output)
    del graph.node[:]
    graph.node.extend(reversed(nodes))
    names = ", ".join(others)
    return [f"left out {names}: the browser's runtime hands out tensors alone"]


def _bodies(node: NodeProto) -> Iterator[GraphProto]:
    for inner in _inner([node]):
        for attribute in inner.attribute:
            yield from (attribute.g, *attribute.graphs)
