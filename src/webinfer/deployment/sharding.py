"""A model cut into stages that run one after another, each with its own part of the weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from webinfer.core.cache import cache_dir, claim, hash_file
from webinfer.core.errors import InvalidModel
from webinfer.core.lifetime.worker_process import Job
from webinfer.core.options import Backend
from webinfer.core.tensors import Signature
from webinfer.deployment.prepare import Delivery, adapted, rewrite
from webinfer.models.files.package import ModelFile, ModelPackage
from webinfer.models.files.signature import specs
from webinfer.models.graphs.outline import outline

_VERSION = "6"  # raised when what is made of a model changes
_GAP = 1 << 16  # bytes between two weights that are fetched along rather than in two pieces
_SLACK = 0.3  # of a stage: how far from the even share of weights a cut may lie, for fewer tensors to pass it


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage.

    Attributes:
        package: The stage as a model of its own. Its inputs are the model's and values from earlier stages.
        delivery: Its graph, and the pieces of the model's files that hold its weights.
    """

    package: ModelPackage
    delivery: Delivery


def split(package: ModelPackage, backend: Backend, count: int, job: Job | None = None) -> tuple[Stage, ...]:
    """Cut a model into stages of about the same size.

    Each cut is laid where the fewest tensors pass it, within 30% of a stage from the even share. The stages' graphs
    are kept in the cache; weights stay where they are, in pieces of the model's files.

    Args:
        package: The model.
        backend: Backend that is to run it.
        count: How many stages.
        job: By which another thread can give up what runs natively, and the limits of that.

    Returns:
        The stages, in order.

    Raises:
        InvalidModel: It cannot be cut: it has too few nodes, or the type of what would pass is not known.
    """
    place = cache_dir() / "delivered" / f"{package.sha256}-{backend}-{count}-stages-{_VERSION}"
    with claim(place) as work:
        if work is not None:
            whole = outline(package.model.path, package.model.sha256)
            whole, notes = adapted(whole, package, job)
            model, rewritten, refused = rewrite(whole, package, backend, job)
            notes += refused
            for number, stage in enumerate(_cut(model, count, package)):
                pieces = _localize(stage.graph.initializer)
                (work / f"{number}.onnx").write_bytes(stage.SerializeToString())
                (work / f"{number}.json").write_text(
                    json.dumps({"pieces": pieces, "rewritten": rewritten, "notes": notes})
                )
    files = {package.model.sha256: package.model, **{file.name: file for file in package.external}}
    return tuple(_stage(package, files, place, number, count) for number in range(count))


def _stage(package: ModelPackage, files: Mapping[str, ModelFile], place: Any, number: int, count: int) -> Stage:
    path = place / f"{number}.onnx"
    graph = onnx.load(path, load_external_data=False).graph
    about = json.loads((place / f"{number}.json").read_text())
    pieces = tuple(
        replace(files[location], name=name, start=start, nbytes=nbytes)
        for name, location, start, nbytes in about["pieces"]
    )
    inputs, outputs = ([value.SerializeToString() for value in values] for values in (graph.input, graph.output))
    file = ModelFile(path.name, path, path.stat().st_size, hash_file(path))
    own = replace(
        package,
        name=f"{package.name} stage {number + 1}/{count}",
        sha256=f"{package.sha256}.{number + 1}of{count}",
        signature=Signature(tuple(specs(path, "input", inputs)), tuple(specs(path, "output", outputs))),
        tokenizer=None,
        model=file,
        external=pieces,
    )
    return Stage(own, Delivery(file, pieces, about["rewritten"], tuple(about["notes"])))


def _cut(model: ModelProto, count: int, package: ModelPackage) -> Iterator[ModelProto]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
    flow = _Flow(graph)
    bounds = [0, *_cuts(flow, count), len(graph.node)]
    if len(set(bounds)) != count + 1:
        raise InvalidModel(
            f"{package.name} has {len(graph.node)} nodes and cannot be cut into {count} stages: switch "
            "shard_models off.",
            path=str(package.model.path),
        )
    for start, stop in pairwise(bounds):
        nodes = graph.node[start:stop]
        produced = {name for node in nodes for name in node.output}
        used = dict.fromkeys(name for node in nodes for name in _reads(node))
        inputs = [name for name in used if name not in produced and name not in flow.weights]
        # Later stages read it, or the model returns it, which counts as read beyond the last node.
        outputs = [
            name for name in dict.fromkeys(n for node in nodes for n in node.output) if flow.last.get(name, -1) >= stop
        ]
        stage = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
        stage.graph.name = f"{graph.name} {start}-{stop}"
        stage.graph.node.extend(nodes)
        stage.graph.initializer.extend(tensor for name, tensor in flow.weights.items() if name in used)
        stage.graph.input.extend(_typed(types, name, package) for name in inputs)
        stage.graph.output.extend(_typed(types, name, package) for name in outputs)
        yield stage


def _typed(types: Mapping[str, ValueInfoProto], name: str, package: ModelPackage) -> ValueInfoProto:
    value = types.get(name)
    if value is None or not value.type.tensor_type.elem_type:
        raise InvalidModel(
            f"{package.name} cannot be cut: the type of {name!r} in it is not known. Switch shard_models off.",
            path=str(package.model.path),
        )
    return value


class _Flow:
    """Which nodes make and last read each value of a graph.

    Attributes:
        weights: Initializers by name.
        last: The number of the last node that reads a value; one beyond the last node for what the model returns.
        sizes: Bytes of the weights that each node is the first to read.
    """

    def __init__(self, graph: GraphProto) -> None:
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        self.last: dict[str, int] = {}
        self.sizes: list[int] = []
        self._producers: dict[str, int] = {}
        counted: set[str] = set()
        for number, node in enumerate(graph.node):
            reads = list(_reads(node))
            self.last.update(dict.fromkeys(reads, number))
            self._producers.update(dict.fromkeys(node.output, number))
            fresh = {name for name in reads if name in self.weights} - counted
            self.sizes.append(sum(_nbytes(self.weights[name]) for name in fresh))
            counted |= fresh
        self.last.update({value.name: len(graph.node) for value in graph.output})

    def passing(self) -> list[int]:
        """Return how many values pass each cut, the cut before node 0 first."""
        changes = [0] * (len(self.sizes) + 2)
        for name, producer in self._producers.items():
            last = self.last.get(name, producer)
            # A value passes each cut from its producer on, until after its last reader.
            changes[producer + 1] += 1
            changes[last + 1] -= 1
        return list(accumulate(changes[:-1]))


def _cuts(flow: _Flow, count: int) -> list[int]:
    """Return the cuts: of those near the even share, the one that the fewest values pass, then the nearest."""
    cumulated = [0, *accumulate(flow.sizes)]
    share = cumulated[-1] / count
    passing = flow.passing()
    cuts: list[int] = []
    for number in range(1, count):
        goal, first = share * number, cuts[-1] + 1 if cuts else 1
        distance = {at: abs(cumulated[at] - goal) for at in range(first, len(flow.sizes))}
        near = [at for at in distance if distance[at] <= _SLACK * share] or sorted(distance, key=distance.__getitem__)[
            :1
        ]
        if not near:
            break
        cuts.append(min(near, key=lambda at: (passing[at], distance[at])))
    return cuts


def _reads(node: NodeProto) -> Iterator[str]:
    """Yield what a node reads, in its subgraphs too."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            # Names that the subgraph defines itself hide those outside.
            own = {name for inner in graph.node for name in inner.output} | {
                tensor.name for tensor in graph.initializer
            }
            own |= {value.name for value in graph.input}
            yield from (name for inner in graph.node for name in _reads(inner) if name not in own)


def _localize(tensors: Iterable[TensorProto]) -> Sequence[tuple[str, str, int, int]]:
    """Return the pieces of files that weights now point into: name, file, start, bytes."""
    spans: list[tuple[str, int, int, TensorProto]] = []
    for tensor in tensors:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if entries:
            start = int(entries.get("offset") or 0)
            spans.append((entries["location"], start, start + int(entries.get("length") or _nbytes(tensor)), tensor))
    pieces: list[list[Any]] = []
    for location, start, stop, tensor in sorted(spans, key=lambda span: span[:3]):
        if not pieces or pieces[-1][1] != location or start > pieces[-1][2] + pieces[-1][3] + _GAP:
            pieces.append([f"{location}.{len(pieces)}", location, start, 0])
        piece = pieces[-1]
        # Weights may overlap or be shared, so a piece never shrinks.
        piece[3] = max(piece[3], stop - piece[2])
        del tensor.external_data[:]
        for key, value in (("location", piece[0]), ("offset", start - piece[2]), ("length", stop - start)):
            tensor.external_data.add(key=key, value=str(value))
    return [(name, location, start, nbytes) for name, location, start, nbytes in pieces]


def _nbytes(tensor: TensorProto) -> int:
    if tensor.external_data:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if "length" in entries:
            return int(entries["length"])
    elements = 1
    for size in tensor.dims:
        elements *= size
    return elements * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
