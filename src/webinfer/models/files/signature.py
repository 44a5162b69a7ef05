"""What an ONNX file says of itself, read without its weights.

A walk over the protobuf fields of a memory-mapped file: weights are skipped by their length, so that a model of
gigabytes is read in milliseconds and none of its weights come into memory. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto

from webinfer.core.tensors import DTYPES, Signature, TensorSpec
from webinfer.models.files.protobuf import BYTES, VARINT, fields, refuse, varint

# Fields whose messages the walk enters: {message: {field: message}}.
_NESTED: dict[str, dict[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "initializer", 11: "input", 12: "output", 15: "sparse initializer"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "subgraph", 10: "tensor", 11: "subgraph"},
    "subgraph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse initializer": {1: "initializer", 2: "tensor"},
    "sparse": {1: "tensor", 2: "tensor"},
    "initializer": {},
    "tensor": {},
}
_TENSORS = ("initializer", "tensor")
_OP_TYPE, _TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_EXTERNAL = 4, 1, 2, 8, 13
_IR_VERSION, _OPSETS = 1, 8

_DTYPE_NAMES: dict[int, str] = {onnx.helper.np_dtype_to_tensor_dtype(dtype): name for name, dtype in DTYPES.items()}
_BLOCK_QUANTIZED = {"MatMulNBits", "GatherBlockQuantized"}
_QUANTIZED = {
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
}


@dataclass(slots=True)
class GraphContents:
    """What was read from an ONNX file.

    Attributes:
        signature: Inputs and outputs, without the initializers that old files list as inputs.
        external: Paths of the external data files, relative to the model's directory, in order of first use.
        operators: The operators' names.
        precision: ``fp32``, ``fp16``, ``q8`` or ``q4``, by the operators and the weights' dtypes.
    """

    signature: Signature
    external: tuple[str, ...]
    operators: frozenset[str]
    precision: str


@dataclass(slots=True)
class _Inventory:
    """What the walk has met so far."""

    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)
    initializers: set[str] = field(default_factory=set)
    external: dict[str, int] = field(default_factory=dict)  # location -> bytes needed
    operators: set[str] = field(default_factory=set)
    weights: dict[int, int] = field(default_factory=dict)  # dtype -> elements
    graphs: int = 0
    versions: int = 0


def read(path: Path) -> GraphContents:
    """Read a model's signature and the names of its external files.

    Args:
        path: The ONNX file.

    Returns:
        The signature, and the names of external files.

    Raises:
        InvalidModel: It is not ONNX, is cut off, or needs a file that is missing or lies elsewhere. Or it takes
            something that is not a tensor of a dtype in ``DTYPES``, or gives no such tensor.
    """
    inventory = _take_inventory(path)
    _check_external(path, inventory)
    inputs = [spec for spec in specs(path, "input", inventory.inputs) if spec.name not in inventory.initializers]
    if not inventory.outputs:
        refuse(path, "has no outputs: export it again")
    passing, others = _split_outputs(path, inventory.outputs)
    outputs = specs(path, "output", passing or inventory.outputs)  # refuses the first, where none passes
    return GraphContents(
        Signature(tuple(inputs), tuple(outputs), others),
        tuple(inventory.external),
        frozenset(inventory.operators),
        _precision(inventory),
    )


def locations(path: Path) -> tuple[str, ...]:
    """Return the paths of the external data files that a model states, whether they are there or not.

    Args:
        path: The ONNX file.

    Returns:
        Paths as the model states them, relative to its directory.

    Raises:
        InvalidModel: The file is not ONNX, or is cut off.
    """
    return tuple(_take_inventory(path).external)


def _take_inventory(path: Path) -> _Inventory:
    inventory = _Inventory()
    try:
        _scan(path, inventory)
    except OSError as error:
        refuse(path, f"cannot be read: {error.strerror}")
    except RecursionError:
        refuse(path, "nests graphs deeper than any model does: it is corrupt")
    if not (inventory.graphs and inventory.versions):
        refuse(path, "holds no ONNX graph: export the model to ONNX first")
    return inventory


def _scan(path: Path, inventory: _Inventory) -> None:
    with path.open("rb") as file:
        head = file.read(512)
        if not head:
            refuse(path, "is empty: fetch it again")
        _refuse_lookalikes(path, head)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _walk(path, data, "model", 0, len(data), inventory)


def _refuse_lookalikes(path: Path, head: bytes) -> None:
    """Refuse files of other kinds that often lie in a model's place."""
    if head.lstrip()[:1] == b"<":
        refuse(path, "is a web page, not an ONNX model: its download failed, so fetch it again")
    if head.startswith(b"version https://git-lfs"):
        refuse(path, "is a Git LFS pointer, not the model: run 'git lfs pull' in its repository")
    if head.startswith((b"PK\x03\x04", b"\x80\x02", b"\x93NUMPY", b"GGUF")) or head[4:8] == b"ORTM":
        refuse(path, "is a model of another format: export it to ONNX first")


# The walk


def _walk(path: Path, data: mmap.mmap, message: str, start: int, end: int, inventory: _Inventory) -> None:
    nested = _NESTED[message]
    elements, dtype, external = 1, 0, []
    for number, kind, at, stop in fields(path, data, start, end):
        inner = nested.get(number) if kind == BYTES else None
        if inner in ("input", "output"):
            (inventory.inputs if inner == "input" else inventory.outputs).append(data[at:stop])
        elif inner is not None:
            inventory.graphs += inner == "graph"
            _walk(path, data, inner, at, stop, inventory)
        elif message == "model" and number in (_IR_VERSION, _OPSETS):
            inventory.versions += 1
        elif message == "node" and number == _OP_TYPE:
            inventory.operators.add(data[at:stop].decode(errors="replace"))
        elif message in _TENSORS:
            if number == _TENSOR_NAME and message == "initializer":  # names of other tensors are nowhere in scope
                inventory.initializers.add(data[at:stop].decode(errors="replace"))
            elif number == _TENSOR_EXTERNAL:
                external.append(data[at:stop])
            elif number == _TENSOR_TYPE:
                dtype = varint(path, data, at, end)[0]
            elif number == _TENSOR_DIMS:
                elements *= _product(path, data, kind, at, stop)
    if message in _TENSORS:  # fields come in any order, so a tensor is counted once all are read
        inventory.weights[dtype] = inventory.weights.get(dtype, 0) + elements
        _note_external(path, external, inventory)


def _product(path: Path, data: mmap.mmap, kind: int, at: int, stop: int) -> int:
    """Return the product of dimensions, which come one to a field or packed."""
    product = 1
    while at < stop:
        size, at = varint(path, data, at, stop)
        product *= size
        if kind == VARINT:
            break
    return product


# External data


def _note_external(path: Path, entries: list[bytes], inventory: _Inventory) -> None:
    if not entries:
        return
    try:
        pairs = [onnx.StringStringEntryProto.FromString(entry) for entry in entries]
        reference = {pair.key: pair.value for pair in pairs}
        needed = int(reference.get("offset") or 0) + int(reference.get("length") or 0)
    except (DecodeError, ValueError):
        refuse(path, "describes its external data wrongly: export it again")
    location = reference.get("location", "")
    inventory.external[location] = max(needed, inventory.external.get(location, 0))


def _check_external(path: Path, inventory: _Inventory) -> None:
    # The file states these paths, and it may be hostile: they must not leave its directory, on any system.
    for location, needed in inventory.external.items():
        parts = PurePosixPath(location).parts
        outside = PurePosixPath(location).is_absolute() or PureWindowsPath(location).is_absolute() or ".." in parts
        if not parts or outside or "\\" in location or "\0" in location or PureWindowsPath(location).drive:
            refuse(path, f"names external data at {location!r}, outside its own directory, which is not followed")
        beside = path.parent / location
        if not beside.is_file():
            refuse(path, f"keeps weights in {location!r}, which is missing: put that file at {beside}")
        if beside.stat().st_size < needed:
            have = f"{beside.stat().st_size:,} of {needed:,} bytes"
            refuse(path, f"keeps weights in {location!r}, which is cut off ({have}): fetch it again")


# Inputs and outputs


def specs(path: Path, role: str, values: list[bytes]) -> list[TensorSpec]:
    """Read inputs or outputs from their messages.

    Args:
        path: The file, to be named in errors.
        role: ``input`` or ``output``, to be named in errors.
        values: The messages, each a ``ValueInfoProto``.

    Returns:
        Names, dtypes and shapes, in order.
    """
    try:
        infos = [onnx.ValueInfoProto.FromString(value) for value in values]
    except DecodeError:
        refuse(path, f"describes an {role} wrongly: it is corrupt, so fetch or export it again")
    return [_spec(path, role, info) for info in infos]


def _split_outputs(path: Path, values: list[bytes]) -> tuple[list[bytes], tuple[tuple[str, str], ...]]:
    """Return the outputs that can pass from a browser, and the names and kinds of the others."""
    try:
        kinds = [(value, onnx.ValueInfoProto.FromString(value)) for value in values]
    except DecodeError:
        refuse(path, "describes an output wrongly: it is corrupt, so fetch or export it again")
    others = tuple((info.name, kind) for _, info in kinds if (kind := _obstacle(info)))
    return [value for value, info in kinds if not _obstacle(info)], others


def _obstacle(info: onnx.ValueInfoProto) -> str:
    """Return what a value is that cannot pass to or from a browser; empty for one that can."""
    if not info.type.HasField("tensor_type"):
        return (info.type.WhichOneof("value") or "nothing").removesuffix("_type")
    dtype = info.type.tensor_type.elem_type
    if dtype in _DTYPE_NAMES:
        return ""
    known = dtype in TensorProto.DataType.values()
    return f"tensor of {TensorProto.DataType.Name(dtype).lower()}" if known else f"tensor of type {dtype}"


def _spec(path: Path, role: str, info: onnx.ValueInfoProto) -> TensorSpec:
    if kind := _obstacle(info):
        hint = ": export it to give tensors (scikit-learn: options={'zipmap': False})" if role == "output" else ""
        refuse(path, f"has an {role} {info.name!r} that is a {kind}, which cannot pass to or from a browser{hint}")
    tensor = info.type.tensor_type
    name = _DTYPE_NAMES[tensor.elem_type]
    sizes = tuple(_size(dimension) for dimension in tensor.shape.dim)
    return TensorSpec(info.name, name, sizes, ranked=tensor.HasField("shape"))


def _size(dimension: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dimension.HasField("dim_value"):
        return dimension.dim_value if dimension.dim_value >= 0 else None  # some exporters write -1 for "any"
    return dimension.dim_param or None


def _precision(inventory: _Inventory) -> str:
    if inventory.operators & _BLOCK_QUANTIZED:
        return "q4"
    if inventory.operators & _QUANTIZED:
        return "q8"
    half = inventory.weights.get(TensorProto.FLOAT16, 0)
    return "fp16" if half > inventory.weights.get(TensorProto.FLOAT, 0) else "fp32"
