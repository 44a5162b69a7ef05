"""A graph as the browser's runtime can take it: of versions that it knows, and with outputs that it can hand out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import onnx
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, NodeProto, TensorProto
from onnx.defs import OpSchema

_NEWEST_IR = 13  # of ONNX Runtime Web 1.30, as are these
_NEWEST_OPSETS: Mapping[str, int] = {"": 26, "ai.onnx.ml": 5}
_NEWEST_DTYPE = TensorProto.INT2  # which IR version 13 brought


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What was done to a model.

    Attributes:
        notes: In words, for results.
        is_doubtful: Whether operators have an older form now that others took the place of. It has the same inputs and
            attributes; whether it answers the same is for the caller to find out.
    """

    notes: tuple[str, ...]
    is_doubtful: bool


def adapt(model: ModelProto, outputs: Sequence[str], *, doubtful: bool = True) -> Adaptation:
    """Adapt a model to the browser's runtime, in place, as far as that changes no answer.

    Args:
        model: The model, or its outline.
        outputs: The outputs to keep; what only others need goes.
        doubtful: Whether operators may get an older form: see ``Adaptation``.

    Returns:
        What was done.
    """
    lowered, is_doubtful = _lower_versions(model, doubtful)
    return Adaptation((*lowered, *_keep_outputs(model.graph, outputs)), is_doubtful)


# Versions


def _lower_versions(model: ModelProto, doubtful: bool) -> tuple[list[str], bool]:
    """Lower the versions of the format and of operators where nothing in the model needs them.

    Returns:
        A note, or none, and whether operators have an older form now.
    """
    lowered, is_doubtful = [], False
    imports = [*model.opset_import, *(opset for function in model.functions for opset in function.opset_import)]
    versions = {_domain(opset.domain): opset.version for opset in imports}
    for domain, newest in _NEWEST_OPSETS.items():
        version = versions.get(domain, 0)
        changes = _changes(model, domain, version, newest) if version > newest else "none"
        if version > newest and (changes == "none" or (changes == "some" and doubtful)):
            is_doubtful |= changes == "some"
            for opset in imports:
                opset.version = newest if _domain(opset.domain) == domain else opset.version
            lowered.append(f"{domain or 'opset'} {version} to {newest}")
    if _NEWEST_IR < model.ir_version <= onnx.IR_VERSION and _format_is_older(model):
        lowered.append(f"IR version {model.ir_version} to {_NEWEST_IR}")
        model.ir_version = _NEWEST_IR
    if not lowered:
        return [], False
    note = f"lowered for the browser's runtime, since nothing in the model needs more: {' and '.join(lowered)}"
    return [note], is_doubtful


def _changes(model: ModelProto, domain: str, version: int, newest: int) -> Literal["none", "some", "breaking"]:
    """Return what changed since an older version, of the operators of a domain that a model has."""
    if version > onnx.defs.onnx_opset_version() and not domain:
        return "breaking"  # what that version brought is not known here
    changes: Literal["none", "some"] = "none"
    for node in _nodes(model):
        if _domain(node.domain) != domain or any(function.name == node.op_type for function in model.functions):
            continue
        try:
            schema = onnx.defs.get_schema(node.op_type, version, domain)
            older = onnx.defs.get_schema(node.op_type, newest, domain)
        except onnx.defs.SchemaError:
            return "breaking"
        if schema.since_version != older.since_version:
            if not _fits(node, schema, older):
                return "breaking"
            if schema.doc != older.doc:  # else it means the same, and only takes more types
                changes = "some"
    return changes


def _fits(node: NodeProto, schema: OpSchema, older: OpSchema) -> bool:
    """Return whether a node is one of an older operator, too, with the same attributes and defaults."""
    inside = len(node.input) <= older.max_input and len(node.output) <= older.max_output
    given = {attribute.name for attribute in node.attribute}
    same = all(
        name in given or schema.attributes[name].default_value == attribute.default_value
        for name, attribute in older.attributes.items()
        if name in schema.attributes
    )
    return inside and same and given <= set(older.attributes) and not older.deprecated


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
