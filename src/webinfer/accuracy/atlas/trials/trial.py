"""One thing to try: a small model, its inputs, and what is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.shape_inference import infer_shapes

from webinfer.accuracy.atlas.rows import Case, NodeFacts
from webinfer.accuracy.atlas.traits import facts_of

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class OperatorTrial:
    """A model to run.

    Attributes:
        name: Its name.
        model: The model.
        inputs: Arrays by name, or whatever ONNX's own test has for an input.
        expected: What is right, by output; ``None`` where native onnxruntime decides.
        operator: What it is a test of, where that is not its only node.
    """

    name: str
    model: ModelProto
    inputs: Mapping[str, Any]
    expected: Mapping[str, Any] | None = None
    operator: str = ""

    def case(self) -> Case:
        """Return what it is a case of."""
        nodes = [(node, facts) for node, facts in facts_of(self.model) if node.op_type != "Constant"]
        if len(nodes) != 1:
            first = next((facts for node, facts in nodes), NodeFacts(""))
            version = max((opset.version for opset in self.model.opset_import if not opset.domain), default=0)
            return Case(self.name, NodeFacts(self.operator or first.operator, "", version, attributes=_several(nodes)))
        node, facts = nodes[0]
        if any(name and not dtype for name, dtype in zip(node.input, facts.dtypes, strict=False)):
            return Case(self.name, replace(facts, traits={}))  # a sequence or an optional value, which no node is like
        if facts.traits and any(_is_special(array) for array in self.inputs.values()):
            facts = replace(facts, traits={**facts.traits, "values": "special"})
        return Case(self.name, facts)


def one_node(
    name: str,
    node: NodeProto,
    inputs: Arrays,
    constants: Arrays | None = None,
    *,
    opset: int = 18,
    outputs: int = 1,
) -> OperatorTrial:
    """Return a trial of one node, which native onnxruntime decides.

    Args:
        name: Its name.
        node: The node. Its outputs are the graph's.
        inputs: Inputs that come with the request.
        constants: Inputs that the model holds.
        opset: Version of ONNX's operators.
        outputs: Outputs of the node that are wanted, from the first.
    """
    given = [_info(key, array) for key, array in inputs.items()]
    held = [numpy_helper.from_array(array, key) for key, array in (constants or {}).items()]
    names = [output for output in node.output[:outputs] if output]
    graph = helper.make_graph([node], "trial", given, list(map(helper.make_empty_tensor_value_info, names)), held)
    opsets = [helper.make_opsetid("", opset)]
    if node.domain:
        opsets.append(helper.make_opsetid(node.domain, 1))
    return OperatorTrial(name, _typed(helper.make_model(graph, opset_imports=opsets, ir_version=8)), inputs)


def _typed(model: ModelProto) -> ModelProto:
    """Return a model whose outputs have types: as the operator says, or for the runtime's own operators the input's."""
    typed = infer_shapes(model)
    first = model.graph.input[0].type.tensor_type.elem_type
    for output in typed.graph.output:
        if not output.type.tensor_type.elem_type:
            to_float = model.graph.node[0].op_type == "MatMulIntegerToFloat"
            output.type.tensor_type.elem_type = TensorProto.FLOAT if to_float else first
    return typed


def _info(name: str, array: NDArray[Any]) -> Any:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _several(nodes: list[tuple[NodeProto, NodeFacts]]) -> dict[str, str]:
    return {"nodes": ", ".join(dict.fromkeys(node.op_type for node, _ in nodes))[:200]}


def _is_special(array: Any) -> bool:
    """Return whether an input holds infinite values or such that are no numbers, which models' inputs do not."""
    return isinstance(array, np.ndarray) and array.dtype.kind == "f" and not np.isfinite(array).all()
