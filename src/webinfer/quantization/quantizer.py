"""A model brought to a precision: the work itself, done in a process of its own."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import NotQuantizable
from webinfer.core.tensors import SOUND
from webinfer.models.files.package import ORIGIN, ModelPackage
from webinfer.models.files.variants import COMPANIONS, FOLDER, PRECISIONS
from webinfer.quantization import convert
from webinfer.quantization.calibration.activations import answers, hessians, native_session
from webinfer.quantization.calibration.inputs import CalibrationInputs
from webinfer.quantization.filters import filter_blocks
from webinfer.quantization.loss import loss
from webinfer.quantization.mixed_precision import Layer, choose
from webinfer.quantization.weights.gptq import calibrated
from webinfer.quantization.weights.reader import Weights
from webinfer.quantization.weights.rewrite import Rewriting
from webinfer.quantization.weights.rounding import Array, Blocks, Floats, nearest, searched
from webinfer.quantization.weights.scheme import Method, Scheme, scheme_of
from webinfer.quantization.weights.targets import LEAST, Target, check, held, targets

Tell = Callable[[float], None]

_COUNT = 16  # inputs to learn from, of texts; pictures and sounds hold many times as much each
_UNCALIBRATED = 8  # bits from which on rounding loses next to nothing, so there is nothing to learn


@dataclass(slots=True)
class _Work:
    """What one run of the work knows."""

    package: ModelPackage
    scheme: Scheme
    method: Method
    inputs: CalibrationInputs
    tell: Tell
    methods: dict[str, int] = field(default_factory=dict)
    bits: dict[int, int] = field(default_factory=dict)  # weights by the bits that they take in the file


def make(
    package: ModelPackage,
    scheme: Scheme,
    directory: Path,
    tell: Tell,
    *,
    method: Method = "calibrated",
    given: list[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Bring a model to a precision, and write it to an empty directory, in the layout of the hub.

    Args:
        package: The model, in full precision.
        scheme: The precision.
        directory: Where to.
        tell: Called with the part that is done.
        method: ``nearest`` rounds and does nothing else; ``searched`` looks for the best ranges; ``calibrated`` learns
            from inputs, too.
        given: Inputs to learn from and to measure with; ``None`` makes some.

    Returns:
        The report that is kept beside the model.

    Raises:
        NotQuantizable: It cannot be done.
        UnsupportedOperator: It has operators that no runtime here knows.
    """
    began = time.perf_counter()
    check(onnx.load(package.model.path, load_external_data=False), package.name)
    session = native_session(package)
    work = _Work(package, scheme, method, _inputs(package, session, scheme, method, given), tell)
    full = [session.run(arrays) for arrays in work.inputs.held_out]
    del session  # it holds the weights
    tell(0.1)
    folder = directory / FOLDER
    folder.mkdir(parents=True)
    path = folder / f"{_stem(package)}{PRECISIONS[scheme.name]}.onnx"
    if scheme.is_blocked:
        left = _blocked(work, path)
    else:
        left = convert.to_half(package, path) if scheme.half else convert.to_dynamic(package, path)
    quantized = answers(package, work.inputs.held_out, path)
    lost = loss(full, quantized) if full else {}
    if not lost.get("finite", True):
        raise NotQuantizable(
            f"{package.name} in {scheme.name} answers NaN or infinities: take a precision with more bits.",
            reason="not_finite",
            precision=scheme.name,
        )
    report = {
        "precision": scheme.name,
        "from": package.sha256,
        "bits": scheme.bits,
        "methods": work.methods,
        "weights_by_bits": {str(bits): count for bits, count in sorted(work.bits.items())},
        "left": left,
        "nbytes_before": package.nbytes,
        "nbytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        "loss": lost,
        "inputs": work.inputs.kind,
        "seconds": time.perf_counter() - began,
    }
    _describe(package, directory, path, report)
    tell(1.0)
    return report


def _inputs(
    package: ModelPackage,
    session: NativeSession,
    scheme: Scheme,
    method: Method,
    given: list[Mapping[str, Any]] | None,
) -> CalibrationInputs:
    """Return inputs, or none where none can be made up and none is needed: then the loss stays unknown.

    Raises:
        NotQuantizable: None can be made up, and there is something to learn from them.
    """
    try:
        return CalibrationInputs.of(package, session, _count(package), given)
    except NotQuantizable as error:
        learns = method == "calibrated" and scheme.bits < _UNCALIBRATED
        if scheme.is_blocked and (learns or scheme.mixed):
            raise
        return CalibrationInputs([], [], f"nothing: {error}")


def _blocked(work: _Work, path: Path) -> dict[str, str]:
    weights = Weights(work.package.model.path)
    selected, left = targets(weights.model)
    if not selected:
        raise NotQuantizable(
            f"{work.package.name} has no weights to quantize{held(weights.model)}: no matrix, table or filter of float "
            "constants, of 1,024 at least. Take it as it is.",
            reason="nothing",
            left=left,
        )
    _join(weights, selected)
    if work.scheme.bits < _UNCALIBRATED and any(target.role == "filter" for target in selected):
        # The converter replaces every node, so targets from before would refer to nodes that are gone.
        convert.raise_opset(weights.model)
        selected, left = targets(weights.model)
        _join(weights, selected)
    layers = _layers(work, weights, selected)
    if work.scheme.mixed:
        choose(work.package, weights, layers, work.inputs.calibrating[:2])
    rewriting = Rewriting(weights.model)
    for layer in layers:
        layer.write(rewriting)
        work.bits[layer.stored] = work.bits.get(layer.stored, 0) + layer.target.size
    rewriting.finish()
    if work.scheme.half:
        convert.halve(weights)
    weights.save(path)
    return left


def _layers(work: _Work, weights: Weights, selected: list[Target]) -> list[Layer]:
    """Return the quantized weights, those first whose inputs were seen."""
    waiting = {target.name: target for target in selected}
    layers: list[Layer] = []
    total = sum(target.size for target in selected)
    done = 0

    def quantize(target: Target, hessian: Floats | None) -> None:
        nonlocal done
        layers.append(_layer(work, weights, target, hessian))
        done += target.size
        work.tell(0.3 + 0.6 * done / total)

    if work.method == "calibrated" and work.scheme.bits < _UNCALIBRATED:
        widths = {value: _width(target) for target in selected for value in target.factors if _is_calibrated(target)}
        # One Hessian is large, so its layers are quantized as soon as it comes, and it is dropped.
        for value, hessian in hessians(
            work.package, weights, widths, work.inputs.calibrating, lambda part: work.tell(0.1 + 0.2 * part)
        ):
            for target in [waiter for waiter in waiting.values() if value in waiter.factors]:
                quantize(waiting.pop(target.name), hessian)
    for target in waiting.values():
        quantize(target, None)
    return layers


def _layer(work: _Work, weights: Weights, target: Target, hessian: Floats | None) -> Layer:
    scheme, matrix = work.scheme, weights.matrix(target)
    if target.role == "filter":
        # Below that opset DequantizeLinear has no blocks: filters get 8 bits there.
        fine = scheme if weights.opset >= convert.BLOCKED_OPSET else scheme_of("q8")
        return filter_blocks(target, matrix, fine, hessian, work.method, work.methods)
    table = target.role == "table"
    looked_up = any(use.role == "table" for use in target.uses)
    bits = scheme.table_bits if looked_up else scheme.bits
    stored = max(bits, scheme.stored if not looked_up else bits)
    block = _block(matrix.shape[1], scheme.block)
    method: Method = work.method
    if method == "calibrated" and (hessian is None or table or bits >= _UNCALIBRATED):
        method = "searched"
    blocks = _blocks(matrix, bits, block, stored, method, hessian)
    work.methods[method] = work.methods.get(method, 0) + 1
    finer = searched(matrix, 8, block) if scheme.mixed else None
    return Layer(target, blocks, finer, matrix.shape)


def _blocks(matrix: Array, bits: int, block: int, stored: int, method: Method, hessian: Floats | None) -> Blocks:
    if method == "calibrated":
        assert hessian is not None
        return calibrated(matrix, bits, block, hessian, stored)
    return (searched if method == "searched" else nearest)(matrix, bits, block, stored)


def _block(columns: int, wanted: int) -> int:
    """Return the weights in a block: more than one block in a row, for WebNN's runtime dies of 8 bits in one alone."""
    block = wanted
    while block > LEAST and columns <= block:
        block //= 2
    return block


def _is_calibrated(target: Target) -> bool:
    return target.role in ("columns", "rows") or (target.role == "filter" and target.dims[2:] == (1, 1))


def _width(target: Target) -> int:
    return target.dims[0] if target.role == "columns" else target.dims[1]


def _join(weights: Weights, selected: list[Target]) -> None:
    """Have a table and a matrix that hold the same be one weight, as in models that share them by design."""
    tables = [target for target in selected if target.role == "table"]
    for table in tables:
        for other in [use for use in selected if use.role in ("columns", "rows", "table") and use is not table]:
            alike = other.dims[::-1] if other.role == "columns" else other.dims
            if alike != table.dims or other.dtype != table.dtype or any(use.role == "table" for use in other.uses):
                continue
            if np.array_equal(weights.matrix(table), weights.matrix(other)):
                # One weight has one layout: that of the table, whose rows are looked up.
                for use in other.uses:
                    use.role = "rows"
                table.uses += other.uses
                table.same.append(other.name)
                selected.remove(other)


def _count(package: ModelPackage) -> int:
    names = {spec.name for spec in package.signature.inputs}
    if names & {*SOUND}:
        return _COUNT // 4
    return _COUNT // 2 if "pixel_values" in names else _COUNT


def _stem(package: ModelPackage) -> str:
    return package.model.path.stem


def _companions(package: ModelPackage) -> Iterator[Path]:
    """Yield the files that describe a model, beside it or above ``onnx/``."""
    folder = package.model.path.parent
    places = [folder, folder.parent] if folder.name == FOLDER else [folder]
    for name in COMPANIONS:
        yield from [place / name for place in places if (place / name).is_file()][:1]


def _describe(package: ModelPackage, directory: Path, path: Path, report: dict[str, Any]) -> None:
    """Lay what describes the model beside it: its companions, and how it was made."""
    for companion in _companions(package):
        shutil.copyfile(companion, directory / companion.name)
    note = {
        "origin": package.origin or package.reference,
        "weights": package.weights,
        "license": package.settings(ORIGIN).get("license"),
        "quantized": {path.stem: report},
    }
    known = {key: value for key, value in note.items() if value}
    (directory / ORIGIN).write_text(json.dumps(known, indent=2), encoding="utf-8")
