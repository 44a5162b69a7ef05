"""What operators take and give: the types that their schemas allow, onnxruntime's own operators among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from onnx import ModelProto, NodeProto

_HALF = "tensor(float16)"


@dataclass(frozen=True, slots=True)
class Schema:
    """The types of an operator's inputs and outputs.

    Attributes:
        inputs: A type, as ``tensor(float)``, or a type variable for each input.
        outputs: Likewise.
        repeats: Whether the last input and the last output stand for any number.
        allowed: The types that each variable may have.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    repeats: tuple[bool, bool]
    allowed: Mapping[str, frozenset[str]]

    def input(self, index: int) -> str:
        """Return the type or the type variable of an input; empty where there is no such input.

        Args:
            index: Its place.
        """
        return _at(self.inputs, index, self.repeats[0])

    def output(self, index: int) -> str:
        """Return the type or the type variable of an output; empty where there is no such output.

        Args:
            index: Its place.
        """
        return _at(self.outputs, index, self.repeats[1])

    def allows_half(self, kind: str) -> bool:
        """Return whether a type variable may stand for tensors of half floats.

        Args:
            kind: The variable.
        """
        return _HALF in self.allowed.get(kind, ())

    @property
    def has_sequences(self) -> bool:
        """Whether an input or output is always a sequence, a map or an optional value."""
        kinds = set(self.inputs + self.outputs)
        return any(not any(one.startswith("tensor") for one in self.allowed.get(kind, {kind})) for kind in kinds)

    def takes_half(self, index: int) -> bool:
        """Return whether an input may hold half floats.

        Args:
            index: Its place.
        """
        return self.allows_half(self.input(index))


class Schemas:
    """The schemas of a model's operators.

    Args:
        versions: The version of each domain's operators.
    """

    def __init__(self, versions: Mapping[str, int]) -> None:
        self._versions = versions

    def __repr__(self) -> str:
        return f"<Schemas {dict(self._versions)}>"

    @classmethod
    def of(cls, model: ModelProto) -> Schemas:
        """Return the schemas of the versions that a model imports.

        Args:
            model: The model.
        """
        return cls({_domain(opset.domain): opset.version for opset in model.opset_import})

    def find(self, node: NodeProto) -> Schema | None:
        """Return the schema of a node's operator; ``None`` where nobody knows it, as of a function of the model's own.

        Args:
            node: The node.
        """
        domain = _domain(node.domain)
        known = _schemas().get((domain, node.op_type), {})
        version = max((since for since in known if since <= self._versions.get(domain, 0)), default=None)
        return known[version] if version is not None else None


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


@cache
def _schemas() -> dict[tuple[str, str], dict[int, Schema]]:
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime  # late: it takes a while to import

    schemas: dict[tuple[str, str], dict[int, Schema]] = {}
    for schema in runtime.get_all_operator_schema():
        versions = schemas.setdefault((_domain(schema.domain), schema.name), {})
        versions[schema.since_version] = _schema(schema)
    return schemas


def _schema(schema: Any) -> Schema:
    allowed = {kind.type_param_str: frozenset(kind.allowed_type_strs) for kind in schema.type_constraints}
    inputs, outputs = ([value.typeStr for value in values] for values in (schema.inputs, schema.outputs))
    repeats = [bool(values) and values[-1].option.name == "Variadic" for values in (schema.inputs, schema.outputs)]
    return Schema(tuple(inputs), tuple(outputs), (repeats[0], repeats[1]), allowed)


def _at(kinds: tuple[str, ...], index: int, repeats: bool) -> str:
    if index < len(kinds):
        return kinds[index]
    return kinds[-1] if repeats and kinds else ""
