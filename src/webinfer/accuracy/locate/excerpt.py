"""Parts of a model, as ONNX files of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from webinfer.models.files.package import ModelPackage
from webinfer.models.graphs.outline import outline

Arrays = Mapping[str, NDArray[Any]]

_WEIGHTS = "weights"  # what the model's own file is called beside an excerpt


class Excerpts:
    """Cuts parts out of a model's graph. Weights stay in the model's files, which are linked beside each part.

    Args:
        package: The model.
        folder: Where the parts are written.

    Attributes:
        nodes: The nodes of the graph, in the order in which they run.
    """

    def __init__(self, package: ModelPackage, folder: Path) -> None:
        self._folder = folder
        self._model = outline(package.model.path, _WEIGHTS)
        self._weights = {tensor.name: tensor for tensor in self._model.graph.initializer}
        self._files = {_WEIGHTS: package.model.path} | {file.name: file.path for file in package.external}
        self.nodes: list[NodeProto] = list(self._model.graph.node)

    def __repr__(self) -> str:
        return f"<Excerpts nodes={len(self.nodes)}>"

    def needs(self, nodes: Iterable[NodeProto]) -> list[str]:
        """Return the values that nodes take from outside, in order; weights are not among them.

        Args:
            nodes: Some of the graph's nodes.
        """
        chosen = list(nodes)
        given = {output for node in chosen for output in node.output}
        needed = (name for node in chosen for name in _reads(node))
        return [name for name in dict.fromkeys(needed) if name not in given and name not in self._weights]

    def behind(self, outputs: Iterable[str], start: int = 0) -> list[NodeProto]:
        """Return the nodes that values depend on, in order.

        Args:
            outputs: The values.
            start: The first node to look at; those before it stay out.
        """
        wanted, chosen = set(outputs), []
        for node in reversed(self.nodes[start:]):
            if wanted.intersection(node.output):
                chosen.append(node)
                wanted.update(_reads(node))
        return chosen[::-1]

    def frontier(self, number: int) -> list[str]:
        """Return the values that pass a point of the graph: made up to there, and needed behind it or outputs.

        Args:
            number: The last node before the point.
        """
        made = {output for node in self.nodes[: number + 1] for output in node.output if output}
        needed = {value.name for value in self._model.graph.output}
        needed.update(name for node in self.nodes[number + 1 :] for name in _reads(node))
        return sorted(made & needed)

    def embed(self, excerpt: Path) -> None:
        """Put an excerpt's weights inside its file.

        Args:
            excerpt: A file that ``write`` returned.
        """
        model = onnx.load(excerpt, load_external_data=False)
        for tensor in model.graph.initializer:
            if tensor.data_location != TensorProto.EXTERNAL:
                continue
            # onnx does not read files that are linked, as those beside an excerpt are.
            place = {entry.key: entry.value for entry in tensor.external_data}
            with self._files[place["location"]].open("rb") as file:
                file.seek(int(place.get("offset", 0)))
                tensor.raw_data = file.read(int(place["length"]) if "length" in place else -1)
            tensor.ClearField("data_location")
            tensor.ClearField("external_data")
        excerpt.write_bytes(model.SerializeToString())

    def write(self, name: str, nodes: Sequence[NodeProto], inputs: Arrays, outputs: Arrays) -> Path:
        """Write some nodes as a model of their own, of fixed shapes.

        Args:
            name: The file's name, without a suffix.
            nodes: The nodes, in order.
            inputs: What they take besides weights, by name.
            outputs: What they give, by name; only dtypes and shapes count.

        Returns:
            The file, in the folder of this object. Weights that it uses lie beside it.
        """
        used = dict.fromkeys(read for node in nodes for read in _reads(node))
        graph = helper.make_graph(
            nodes,
            name,
            [_value(key, array) for key, array in inputs.items() if key in used],
            [_value(key, array) for key, array in outputs.items()],
            [self._weights[key] for key in used if key in self._weights],
        )
        model = ModelProto()
        model.CopyFrom(self._model)
        model.ClearField("graph")
        model.graph.CopyFrom(graph)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        entries = (entry for tensor in graph.initializer for entry in tensor.external_data)
        for location in {entry.value for entry in entries if entry.key == "location"}:
            _link(self._files[location], self._folder / location)
        return path


def attributes(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes, ready for JSON; a graph or a tensor by its name or shape.

    Args:
        node: The node.
    """
    values: dict[str, Any] = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif isinstance(value, GraphProto):
            value = f"graph {value.name}"
        elif isinstance(value, TensorProto):
            value = f"tensor {list(value.dims)}"
        elif attribute.type in (AttributeProto.STRINGS, AttributeProto.FLOATS, AttributeProto.INTS):
            value = [item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in value]
        elif not isinstance(value, int | float | str):
            value = str(value)
        values[attribute.name] = value
    return values


def _reads(node: NodeProto) -> Iterator[str]:
    """Yield the values that a node takes, with those that its subgraphs take from outside."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
            own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
            own |= {output for inner in graph.node for output in inner.output}
            inside = [name for inner in graph.node for name in _reads(inner)] + [value.name for value in graph.output]
            yield from (name for name in inside if name not in own)


def _value(name: str, array: NDArray[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _link(source: Path, target: Path) -> None:
    """Make a file available at another path: by a link where the file system can, else by a copy."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
