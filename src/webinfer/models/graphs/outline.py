"""A model's graph without its weights, which stay where they are in the file.

An ONNX file keeps weights inside the graph's own message. So a runtime holds them three times: as bytes of the file, as
fields of the message, and as its own tensors. In the outline they are external data. Their file is the original model,
and their offsets point into its message. So the outline takes some kilobytes, and weights are copied once.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, TensorProto

from webinfer.models.files.protobuf import BYTES, fields, refuse

_SMALL = 1024  # bytes; what is smaller are shapes, axes and scalars, which a runtime reads before it has external data
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # field numbers of onnx.proto, of a model, a graph, and a tensor


def outline(path: Path, location: str) -> ModelProto:
    """Read a model without its larger weights.

    Args:
        path: The ONNX file.
        location: What to call it in the outline.

    Returns:
        The model, whose weights in the file's own message are external data at ``location``. Weights that are
        external already stay as they are, and so do those in nodes and in subgraphs.

    Raises:
        InvalidModel: It is not ONNX, or is cut off.
    """
    try:
        return _outline(path, location)
    except DecodeError as error:
        refuse(path, f"is not an ONNX model, or is corrupt ({error}): fetch or export it again")


def _outline(path: Path, location: str) -> ModelProto:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        model, graph = ModelProto(), GraphProto()
        for number, kind, start, stop, whole in _spans(path, data, 0, len(data)):
            # Merging field by field keeps all other fields as they are; the larger weights are never read.
            if (number, kind) != (_GRAPH, BYTES):
                model.MergeFromString(data[whole:stop])
                continue
            for inner, inner_kind, at, end, begin in _spans(path, data, start, stop):
                if (inner, inner_kind) == (_INITIALIZER, BYTES):
                    graph.initializer.append(_tensor(path, location, data, at, end))
                else:
                    graph.MergeFromString(data[begin:end])
        model.graph.MergeFrom(graph)
        return model


def _tensor(path: Path, location: str, data: mmap.mmap, start: int, stop: int) -> TensorProto:
    tensor, place = TensorProto(), None
    for number, kind, at, end, begin in _spans(path, data, start, stop):
        if (number, kind) == (_RAW_DATA, BYTES) and end - at > _SMALL:
            place = (at, end - at)
        else:
            tensor.MergeFromString(data[begin:end])
    if place is not None:
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in zip(("location", "offset", "length"), (location, *place), strict=True):
            tensor.external_data.add(key=key, value=str(value))
    return tensor


def _spans(path: Path, data: mmap.mmap, start: int, stop: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield fields as ``fields`` does, and where each begins with its number."""
    begin = start
    for number, kind, at, end in fields(path, data, start, stop):
        yield number, kind, at, end, begin
        begin = end
