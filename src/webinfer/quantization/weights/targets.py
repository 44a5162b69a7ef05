"""Which weights of a graph can be stored in fewer bits, and why the others cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, cast

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from webinfer.core.errors import NotQuantizable, UnsupportedOperator

Role = Literal["columns", "rows", "table", "filter"]

LEAST = 16  # weights in a row, at least: the smallest block that the runtime's operator knows
_SMALL = 1024  # weights; of fewer there is nothing to gain
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_QUANTIZED = {
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLSTM",
    "DynamicQuantizeMatMul",
    "GatherBlockQuantized",
    "MatMulBnb4",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "MatMulNBits",
    "QAttention",
    "QGemm",
    "QLinearConv",
    "QLinearMatMul",
}
_OPSETS = range(7, 27)  # below 7, broadcasting meant something else


@dataclass(slots=True)
class Use:
    """A node that takes a weight.

    Attributes:
        node: The node.
        role: ``columns``: multiplied, of shape (K, N); ``rows``: likewise, of shape (N, K); ``table``: rows are looked
            up; ``filter``: of a convolution.
        through: The node that transposes it first, if there is one.
    """

    node: NodeProto
    role: Role
    through: NodeProto | None = None


@dataclass(slots=True)
class Target:
    """A weight to be quantized.

    Attributes:
        name: Its name in the graph.
        dims: Its shape.
        dtype: ``FLOAT`` or ``FLOAT16``.
        uses: The nodes that take it, all of whose roles agree.
        same: Names of weights that hold the same, transposed.
    """

    name: str
    dims: tuple[int, ...]
    dtype: int
    uses: list[Use] = field(default_factory=list)
    same: list[str] = field(default_factory=list)

    @property
    def role(self) -> Role:
        """How it lies: ``columns``, ``rows``, ``filter``, or ``table`` where it is looked up and nothing else."""
        roles = {use.role for use in self.uses}
        return "rows" if len(roles) > 1 else next(iter(roles))

    @property
    def size(self) -> int:
        """How many weights it has."""
        count = 1
        for dim in self.dims:
            count *= dim
        return count

    @property
    def factors(self) -> list[str]:
        """Names of the values that it is multiplied with."""
        return [use.node.input[0] for use in self.uses if use.role != "table"]


def check(model: ModelProto, name: str) -> None:
    """Refuse a model that cannot be quantized as a whole.

    Args:
        model: The model, without its weights.
        name: Its name, for errors.

    Raises:
        UnsupportedOperator: It has operators of a domain that no runtime here knows.
        NotQuantizable: It is quantized already, or of a version that is not known.
    """
    nodes = list(every_node(model.graph))
    strange = sorted({f"{node.domain}.{node.op_type}" for node in nodes if node.domain not in _DOMAINS})
    if strange:
        raise UnsupportedOperator(
            f"{name} has custom operators ({', '.join(strange[:5])}), which neither onnxruntime nor ONNX Runtime Web "
            "knows: export it without them.",
            operators=strange,
        )
    done = sorted({node.op_type for node in nodes if node.op_type in _QUANTIZED})
    if done:
        raise NotQuantizable(
            f"{name} is quantized already ({', '.join(done)}): start from its full precision.",
            reason="quantized",
            operators=done,
        )
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version not in _OPSETS:
            raise NotQuantizable(
                f"{name} is of opset {opset.version}; {_OPSETS[0]} to {_OPSETS[-1]} can be quantized: export it again.",
                reason="opset",
                opset=opset.version,
            )


def held(model: ModelProto) -> str:
    """Return the dtypes of a model's weights in brackets, for an error that has nothing to quantize.

    Args:
        model: The model, without its weights.
    """
    dtypes = {tensor.data_type for tensor in model.graph.initializer} - {TensorProto.FLOAT}
    names = sorted(TensorProto.DataType.Name(dtype).lower() for dtype in dtypes)
    return f" (it holds {', '.join(names)})" if names else ""


def targets(model: ModelProto) -> tuple[list[Target], dict[str, str]]:
    """Return the weights that can be quantized, and why each other one of some size cannot.

    Args:
        model: The model, or its outline; weights in ``Constant`` nodes count only once they were hoisted.
    """
    graph = model.graph
    given = {value.name for value in graph.input} if model.ir_version >= 4 else set()
    results = {value.name for value in graph.output}
    captured = {name for node in graph.node for inner in subgraphs(node) for name in _taken(inner)}
    users: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(node.input):
            users.setdefault(name, []).append(node)
    selected, left = [], {}
    for tensor in graph.initializer:
        target = Target(tensor.name, tuple(tensor.dims), tensor.data_type)
        if tensor.data_type not in _FLOATS or len(target.dims) < 2 or target.size < _SMALL:
            continue
        if tensor.name in given:
            left[tensor.name] = "it may be overridden by an input"
        elif tensor.name in results or tensor.name in captured:
            left[tensor.name] = "it is an output" if tensor.name in results else "a subgraph takes it"
        else:
            why = _fill(target, users, results)
            if why:
                left[tensor.name] = why
            elif target.uses:
                selected.append(target)
    return selected, left


def every_node(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes of a graph and of those inside it.

    Args:
        graph: The graph.
    """
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from every_node(inner)


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs that a node holds: the branches of an If, the body of a Loop.

    Args:
        node: The node.
    """
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def attributes(node: NodeProto) -> dict[str, object]:
    """Return a node's attributes by name.

    Args:
        node: The node.
    """
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _fill(target: Target, users: dict[str, list[NodeProto]], results: set[str]) -> str | None:
    """Return why a weight has to stay as it is; ``None`` where it need not, and its uses are filled in."""
    for node in users.get(target.name, []):
        if node.op_type == "Conv" and cast(int, attributes(node).get("group", 1)) > 1 and target.dims[1] == 1:
            # ONNX Runtime Web 1.30 traps on them, restored from a scale to each; they are a few hundredths of a model.
            return "its filters take one channel each, of which WebNN's runtime dies in few bits"
        turned = node.op_type == "Transpose" and len(target.dims) == 2 and node.output[0] not in results
        if turned:
            for user in users.get(node.output[0], []):
                role = _role(user, node.output[0], target.dims[::-1])
                if role not in ("columns", "rows"):
                    return f"it is transposed for {user.op_type}"
                # The transposition turns the layout round.
                target.uses.append(Use(user, "rows" if role == "columns" else "columns", node))
            continue
        role = _role(node, target.name, target.dims)
        if role is None:
            return f"{node.op_type} takes it as it is"
        target.uses.append(Use(node, role))
    roles = {use.role for use in target.uses}
    if (
        len(roles - {"table"}) > 1
        or ("table" in roles and "columns" in roles)
        or ("filter" in roles and len(roles) > 1)
    ):
        return "it is used in two ways that take different layouts"
    if target.uses and target.role != "filter" and _row(target) < LEAST:
        return f"its rows hold {_row(target)} weights, less than a block"
    return None


def _row(target: Target) -> int:
    return target.dims[0] if target.role == "columns" else target.dims[1]


def _role(node: NodeProto, name: str, dims: tuple[int, ...]) -> Role | None:
    if list(node.input).count(name) != 1:
        return None
    place = list(node.input).index(name)
    values = attributes(node)
    if node.op_type == "MatMul" and place == 1 and len(dims) == 2:
        return "columns"
    if node.op_type == "Gemm" and place == 1 and values.get("alpha", 1.0) == 1.0 and values.get("beta", 1.0) == 1.0:
        if values.get("transA", 0):
            return None
        return "rows" if values.get("transB", 0) else "columns"
    if node.op_type == "Gather" and place == 0 and values.get("axis", 0) == 0 and len(dims) == 2:
        return "table"
    return "filter" if node.op_type == "Conv" and place == 1 else None


def _taken(graph: GraphProto) -> set[str]:
    """Return every name that a graph's nodes take, those inside it too."""
    return {name for node in every_node(graph) for name in node.input} | {value.name for value in graph.output}
