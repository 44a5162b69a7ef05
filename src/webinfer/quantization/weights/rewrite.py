"""Nodes that compute with quantized weights, in place of those that computed with the weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from webinfer.quantization.weights.rounding import Array, Blocks, pack
from webinfer.quantization.weights.targets import Target, Use

CONTRIB = "com.microsoft"
_node = helper.make_node


class Rewriting:
    """A graph whose weights are replaced one after another.

    Args:
        model: The model, which is changed in place.
        accuracy: MatMulNBits' ``accuracy_level``: 0 computes in the activations' own dtype, 4 in 8 bits.
    """

    def __init__(self, model: ModelProto, accuracy: int = 0) -> None:
        self._model = model
        self._accuracy = accuracy
        self._opset = max(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
        self._replacements: dict[int, list[NodeProto]] = {}  # what stands in for a node, by the node's id
        self._before: dict[int, list[NodeProto]] = {}
        self._gone: set[str] = set()
        self._new: dict[str, TensorProto] = {}
        self._originals = [*model.graph.node]  # so that ids stay those of these objects

    def blocks(self, target: Target, blocks: Blocks) -> None:
        """Replace a matrix: its products become MatMulNBits, and look-ups look up the same blocks.

        Args:
            target: The weight.
            blocks: Its quantized values.
        """
        dtype: np.dtype[Any] = np.dtype(np.float16 if target.dtype == TensorProto.FLOAT16 else np.float32)
        packed, scales, zeros = blocks.packed()
        names = [f"{target.name}_{part}" for part in (f"q{blocks.bits}", "scales", "zeros")]
        for name, array in zip(names, (packed, scales.astype(dtype), zeros), strict=True):
            self.add(name, array)
        for use in target.uses:
            nodes = self._table(use, names, blocks, dtype) if use.role == "table" else self._product(use, names, blocks)
            self._replacements[id(use.node)] = nodes
            if use.through is not None:
                self._replacements[id(use.through)] = []
        self._gone |= {target.name, *target.same}

    def filters(self, target: Target, levels: Array, scales: Array, zeros: Array | None, block: int | None) -> None:
        """Replace a convolution's filters by integers that are scaled before each use.

        Args:
            target: The filters.
            levels: int8, or uint8 that hold 4 bits each, of the filters' shape.
            scales: One for each filter, or for each block along axis 1.
            zeros: Zero points of the blocks.
            block: Weights in a block.
        """
        dtype: np.dtype[Any] = np.dtype(np.float16 if target.dtype == TensorProto.FLOAT16 else np.float32)
        stem = f"{target.name}_q{8 if zeros is None else 4}"
        inputs = [stem, f"{target.name}_scales"]
        self.add(inputs[1], scales.astype(dtype))
        if zeros is None:
            self.add(stem, levels)
            attributes: dict[str, Any] = {"axis": 0}
        else:
            inputs.append(f"{target.name}_zeros")
            for name, array in ((stem, levels), (inputs[2], zeros)):
                flat = np.pad(array.reshape(-1), (0, array.size % 2))
                self._new[name] = helper.make_tensor(
                    name, TensorProto.UINT4, array.shape, pack(flat, 4).tobytes(), raw=True
                )
            attributes = {"axis": 1, "block_size": block or 0}
        restored = f"{target.name}_restored"
        plain = zeros is not None or self._opset >= 13
        domain = "" if plain else CONTRIB  # of one axis only since 13; the runtime's own operator has no version
        self._before[id(target.uses[0].node)] = [
            _node("DequantizeLinear", inputs, [restored], name=restored, domain=domain, **attributes)
        ]
        for use in target.uses:
            use.node.input[1] = restored
        self._gone.add(target.name)

    def finish(self) -> None:
        """Put the new nodes and weights into the graph, and take the old ones out."""
        graph = self._model.graph
        nodes: list[NodeProto] = []
        for node in self._originals:
            nodes += [*self._before.get(id(node), []), *self._replacements.get(id(node), [node])]
        copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
        _remove(graph.initializer, self._gone)
        _remove(graph.input, self._gone)  # files of IR version 3 list weights as inputs
        _remove(graph.value_info, self._gone)
        graph.initializer.extend(self._new.values())
        if all(opset.domain != CONTRIB for opset in self._model.opset_import):
            self._model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
        self._model.ir_version = max(self._model.ir_version, 8 if self._opset < 21 else 10)

    def add(self, name: str, array: Array) -> str:
        """Return the name of a new constant in the graph.

        Args:
            name: Its name.
            array: Its values.
        """
        self._new[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def _product(self, use: Use, names: list[str], blocks: Blocks) -> list[NodeProto]:
        node = use.node
        biased = node.op_type == "Gemm" and len(node.input) > 2 and node.input[2]
        attributes: dict[str, Any] = {
            "K": blocks.columns,
            "N": len(blocks.levels),
            "bits": blocks.bits,
            "block_size": blocks.block,
        }
        if self._accuracy:
            attributes["accuracy_level"] = self._accuracy
        out = f"{node.output[0]}_product" if biased else node.output[0]
        name = f"{node.name or node.output[0]}_q{blocks.bits}"
        nodes = [_node("MatMulNBits", [node.input[0], *names], [out], name=name, domain=CONTRIB, **attributes)]
        if biased:
            nodes.append(_node("Add", [out, node.input[2]], [node.output[0]], name=f"{name}_bias"))
        return nodes

    def _table(self, use: Use, names: list[str], blocks: Blocks, dtype: np.dtype[Any]) -> list[NodeProto]:
        """Look up rows and restore them, by plain operators.

        ONNX Runtime Web has GatherBlockQuantized on WebGPU, and none in its WebAssembly. These are everywhere and in
        every opset, and let a look-up share its table with a product. The integers in a byte are had by dividing by
        powers of two, which floats do exactly.

        Returns:
            The nodes, in order.
        """
        stem, ids, result = use.node.output[0], use.node.input[1], use.node.output[0]
        count, block = blocks.scales.shape[1], blocks.block
        steps = _Steps(stem, dtype, self)
        flat = steps.op("Reshape", ids, steps.whole(-1))
        levels = steps.unpacked(names[0], flat, blocks.bits, (-1, count, block))
        per_byte = 8 // blocks.bits
        zeros = steps.unpacked(names[2], flat, blocks.bits, (-1, -(-count // per_byte) * per_byte))
        if count % per_byte:
            zeros = steps.op("Gather", zeros, steps.whole(*range(count)), axis=1)
        zeros = steps.op("Reshape", zeros, steps.whole(-1, count, 1))
        scales = steps.op("Reshape", steps.op("Gather", names[1], flat, axis=0), steps.whole(-1, count, 1))
        rows = steps.op("Mul", steps.op("Sub", levels, zeros), scales)
        rows = steps.op("Reshape", rows, steps.whole(-1, count * block))
        if count * block != blocks.columns:
            rows = steps.op("Gather", rows, steps.whole(*range(blocks.columns)), axis=1)
        shape = steps.op("Concat", steps.op("Shape", ids), steps.whole(blocks.columns), axis=0)
        steps.op("Reshape", rows, shape, out=result)
        return steps.nodes


class _Steps:
    """Nodes one after another, with names of their own."""

    def __init__(self, stem: str, dtype: np.dtype[Any], rewriting: Rewriting) -> None:
        self.nodes: list[NodeProto] = []
        self._stem = stem
        self._dtype = dtype
        self._rewriting = rewriting

    def op(self, operator: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        name = out or f"{self._stem}_step{len(self.nodes)}"
        self.nodes.append(
            _node(operator, list(inputs), [name], name=f"{self._stem}_{operator}{len(self.nodes)}", **attributes)
        )
        return name

    def whole(self, *numbers: int) -> str:
        return self._constant(np.array(numbers, np.int64))

    def unpacked(self, table: str, ids: str, bits: int, shape: tuple[int, ...]) -> str:
        """Return the name of looked-up rows of packed integers, as floats in a shape."""
        rows = self.op("Gather", table, ids, axis=0)
        rows = self.op("Cast", rows, to=helper.np_dtype_to_tensor_dtype(self._dtype))
        if bits < 8:
            packed = shape[-1] * bits // 8
            rows = self.op("Reshape", rows, self.whole(*shape[:-1], packed, 1))
            # Without operators on bits, level i is floor(byte / 2^(bits i)) - 2^bits floor(byte / 2^(bits (i + 1))).
            powers = 2.0 ** (bits * np.arange(8 // bits + 1))
            here = self.op("Floor", self.op("Div", rows, self._constant(powers[:-1].astype(self._dtype))))
            above = self.op("Floor", self.op("Div", rows, self._constant(powers[1:].astype(self._dtype))))
            rows = self.op("Sub", here, self.op("Mul", above, self._constant(np.array([2**bits], self._dtype))))
        return self.op("Reshape", rows, self.whole(*shape))

    def _constant(self, array: NDArray[np.generic]) -> str:
        digits = "_".join(f"{number:g}" for number in array.reshape(-1)[:4])
        return self._rewriting.add(f"{self._stem}_{array.dtype}_{array.size}_{digits}", array)


def hoist(graph: GraphProto) -> None:
    """Turn weights in ``Constant`` nodes into initializers, in place.

    Args:
        graph: The graph, changed in place.
    """
    nodes = []
    for node in graph.node:
        values = [attribute for attribute in node.attribute if attribute.name == "value"]
        if node.op_type == "Constant" and values and len(values[0].t.raw_data) > 1024:
            values[0].t.name = node.output[0]
            graph.initializer.append(values[0].t)
        else:
            nodes.append(NodeProto.FromString(node.SerializeToString()))
    if len(nodes) < len(graph.node):
        del graph.node[:]
        graph.node.extend(nodes)


def _remove(entries: object, names: Iterable[str]) -> None:
    gone = set(names)
    listed = list(entries)  # type: ignore[call-overload]  # a repeated field has no public type
    for index in reversed(range(len(listed))):
        if listed[index].name in gone:
            del entries[index]  # type: ignore[attr-defined]
