"""Sweeps over the attributes, shapes and versions that exporters write, beyond those that ONNX's own tests have."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from webinfer.accuracy.atlas.trials.trial import Arrays, OperatorTrial, one_node

_SEED = 11
_random = np.random.default_rng(_SEED)


def sweep_trials() -> Iterator[OperatorTrial]:
    """Yield trials of the operators whose attributes browsers are known to differ in; native onnxruntime decides."""
    global _random
    _random = np.random.default_rng(_SEED)  # so that every call makes the same numbers
    for sweep in (
        _resize,
        _pooling,
        _recurrent,
        _convolution,
        _slices,
        _reductions,
        _padding,
        _versions,
        _quantization,
    ):
        yield from sweep()


def _normal(*shape: int) -> NDArray[np.float32]:
    return _random.standard_normal(shape).astype(np.float32)


def _trial(
    name: str,
    operator: str,
    inputs: Arrays,
    constants: Arrays | None = None,
    *,
    order: list[str] | None = None,
    opset: int = 18,
    outputs: int = 1,
    **stated: Any,
) -> OperatorTrial:
    names = order or [*inputs, *(constants or {})]
    node = helper.make_node(operator, names, ["y", "y1", "y2"][:outputs], **stated)
    return one_node(f"sweep_{operator.lower()}_{name}", node, inputs, constants, opset=opset)


_MODES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("nearest", {"nearest_mode": "round_prefer_floor"}),
    ("nearest", {"nearest_mode": "floor"}),
    ("nearest", {"nearest_mode": "ceil"}),
    ("linear", {}),
    ("cubic", {}),
    ("linear", {"antialias": 1}),
)
_COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")


def _resize() -> Iterator[OperatorTrial]:
    image = _normal(1, 3, 8, 8) + 3
    for (mode, more), coordinates, scale in product(_MODES, _COORDINATES, (2.0, 1.5, 0.5, 1.3)):
        for opset in (11, 13, 18, 19):
            if opset < 19 and coordinates == "half_pixel_symmetric":
                continue
            if opset < 18 and more.get("antialias"):
                continue
            if opset in (11, 19) and scale not in (2.0, 1.5):
                continue
            stated = {"mode": mode, "coordinate_transformation_mode": coordinates, **more}
            tag = "_".join(map(str, (mode, *more.values(), coordinates, scale, opset)))
            names = ["x", "roi", "s"] if opset == 11 else ["x", "", "s"]
            held = {"s": np.array([1, 1, scale, scale], np.float32)}
            if opset == 11:
                held["roi"] = np.zeros(0, np.float32)
            yield _trial(tag, "Resize", {"x": image}, held, order=names, opset=opset, **stated)
    for mode, coordinates, size in product(("nearest", "linear"), _COORDINATES[:4], (16, 12, 5)):
        held = {"sizes": np.array([1, 3, size, size], np.int64)}
        yield _trial(
            f"{mode}_{coordinates}_to_{size}",
            "Resize",
            {"x": image},
            held,
            order=["x", "", "", "sizes"],
            mode=mode,
            coordinate_transformation_mode=coordinates,
        )
    for opset, mode in product((9,), ("nearest", "linear")):
        held = {"s": np.array([1, 1, 2, 2], np.float32)}
        yield _trial(f"{mode}_{opset}", "Upsample", {"x": image}, held, opset=opset, mode=mode)


def _pooling() -> Iterator[OperatorTrial]:
    for size, kernel, stride, pads, ceil, count in product(
        (8, 7), (2, 3), (1, 2), ([0] * 4, [1] * 4, [0, 0, 1, 1]), (0, 1), (0, 1)
    ):
        stated: dict[str, Any] = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": pads}
        tag = f"{size}_k{kernel}_s{stride}_p{''.join(map(str, pads))}_c{ceil}"
        image = {"x": _normal(1, 3, size, size) + 3}
        yield _trial(f"{tag}_count{count}", "AveragePool", image, count_include_pad=count, ceil_mode=ceil, **stated)
        if not count:
            yield _trial(tag, "MaxPool", image, ceil_mode=ceil, **stated)
    for pad, kernel, stride, operator in product(
        ("SAME_UPPER", "SAME_LOWER", "VALID"), (2, 3), (1, 2), ("AveragePool", "MaxPool")
    ):
        image = {"x": _normal(1, 3, 8, 8) + 3}
        yield _trial(
            f"{pad.lower()}_k{kernel}_s{stride}",
            operator,
            image,
            auto_pad=pad,
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
        )
    for operator in ("AveragePool", "MaxPool"):
        yield _trial("1d", operator, {"x": _normal(1, 3, 9)}, kernel_shape=[3], strides=[2])
        yield _trial("3d", operator, {"x": _normal(1, 2, 6, 6, 6)}, kernel_shape=[2] * 3, strides=[2] * 3)
    yield _trial("dilated", "MaxPool", {"x": _normal(1, 3, 9, 9)}, kernel_shape=[2, 2], dilations=[2, 2])
    for operator in ("GlobalAveragePool", "GlobalMaxPool"):
        for shape in ((1, 3, 8, 8), (2, 5, 7, 3), (1, 3, 9)):
            yield _trial("x".join(map(str, shape)), operator, {"x": _normal(*shape)})


def _recurrent() -> Iterator[OperatorTrial]:
    hidden, width, steps, batch = 5, 6, 4, 1
    for operator, gates in (("GRU", 3), ("LSTM", 4), ("RNN", 1)):
        variants = (0, 1) if operator == "GRU" else (None,)
        for direction, reset, bias, layout in product(
            ("forward", "reverse", "bidirectional"), variants, (0, 1), (0, 1)
        ):
            count = 2 if direction == "bidirectional" else 1
            held: Arrays = {
                "w": _normal(count, gates * hidden, width) / 2,
                "r": _normal(count, gates * hidden, hidden) / 2,
            }
            if bias:
                held["b"] = _normal(count, 2 * gates * hidden)
            stated: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
            stated |= {"linear_before_reset": reset} if reset is not None else {}
            stated |= {"layout": 1} if layout else {}
            x = _normal(batch, steps, width) if layout else _normal(steps, batch, width)
            tag = f"{direction}_bias{bias}_layout{layout}" + (f"_reset{reset}" if reset is not None else "")
            yield _trial(tag, operator, {"x": x}, held, **stated)
        for reset in variants:
            held = {
                "w": _normal(1, gates * hidden, width) / 2,
                "r": _normal(1, gates * hidden, hidden) / 2,
                "b": _normal(1, 2 * gates * hidden),
                "h": np.zeros((1, batch, hidden), np.float32),
            }
            stated = {"hidden_size": hidden} | ({"linear_before_reset": reset} if reset is not None else {})
            order = ["x", "w", "r", "b", "", "h"]
            if operator == "LSTM":
                held["c"] = np.zeros((1, batch, hidden), np.float32)
                order.append("c")
            yield _trial(
                f"initial_state_reset{reset}",
                operator,
                {"x": _normal(steps, batch, width)},
                held,
                order=order,
                outputs=2,
                **stated,
            )


_CHANNELS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 18, 21, 24, 27, 30, 32, 33, 48, 64, 66, 96, 99, 128, 130)


def _convolution() -> Iterator[OperatorTrial]:
    for channels, filters, kernel in product(_CHANNELS, (8, 5), (3, 1)):
        weights = _normal(filters, channels, kernel, kernel) / channels**0.5
        pad = kernel // 2
        yield _trial(
            f"{channels}_to_{filters}_k{kernel}",
            "Conv",
            {"x": _normal(1, channels, 8, 8)},
            {"w": weights},
            pads=[pad] * 4,
        )
    for channels in (3, 4, 6, 8, 9):
        for group in (1, channels):
            stated: dict[str, Any] = {"group": group, "pads": [1] * 4, "strides": [2, 2]}
            weights = _normal(channels, channels // group, 3, 3)
            yield _trial(
                f"strided_{channels}_g{group}",
                "Conv",
                {"x": _normal(1, channels, 8, 8)},
                {"w": weights, "b": _normal(channels)},
                **stated,
            )
        yield _trial(
            f"depthwise_{channels}",
            "Conv",
            {"x": _normal(1, channels, 8, 8)},
            {"w": _normal(channels, 1, 3, 3)},
            group=channels,
            pads=[1] * 4,
        )
        yield _trial(
            f"dilated_{channels}",
            "Conv",
            {"x": _normal(1, channels, 9, 9)},
            {"w": _normal(4, channels, 3, 3)},
            dilations=[2, 2],
        )
        yield _trial(
            f"1d_{channels}", "Conv", {"x": _normal(1, channels, 16)}, {"w": _normal(8, channels, 3)}, pads=[1, 1]
        )
        yield _trial(
            f"same_{channels}",
            "Conv",
            {"x": _normal(1, channels, 8, 8)},
            {"w": _normal(4, channels, 3, 3)},
            auto_pad="SAME_UPPER",
            strides=[2, 2],
        )
        for padding in (0, 1):
            yield _trial(
                f"{channels}_p{padding}",
                "ConvTranspose",
                {"x": _normal(1, channels, 5, 5)},
                {"w": _normal(channels, 4, 3, 3)},
                strides=[2, 2],
                pads=[1] * 4,
                output_padding=[padding] * 2,
            )
    yield _trial("grouped", "Conv", {"x": _normal(1, 8, 8, 8)}, {"w": _normal(8, 4, 3, 3)}, group=2)
    yield _trial("3d", "Conv", {"x": _normal(1, 3, 5, 5, 5)}, {"w": _normal(4, 3, 2, 2, 2)})


def _slices() -> Iterator[OperatorTrial]:
    x = _normal(3, 8, 8)
    for starts, ends, axes, steps in (
        ([7], [-99], [1], [-1]),
        ([7], [0], [2], [-2]),
        ([0], [8], [1], [3]),
        ([1], [-1], [2], [1]),
        ([7, 7], [-99, -99], [1, 2], [-1, -1]),
        ([-4], [99], [1], [1]),
    ):
        held = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
        tag = f"{starts[0]}_{ends[0]}_{len(axes)}_{steps[0]}"
        yield _trial(tag, "Slice", {"x": x}, {key: np.array(value, np.int64) for key, value in held.items()})
    for axis, indices in product((0, 1, -1), ([0, 2], [-1, 1])):
        yield _trial(f"{axis}_{indices[0]}", "Gather", {"x": x}, {"i": np.array(indices, np.int64)}, axis=axis)
    for perm in ((0, 2, 1), (2, 1, 0), (1, 0, 2)):
        yield _trial("".join(map(str, perm)), "Transpose", {"x": x}, perm=perm)
    for axis in (0, 1, -1):
        for exclusive, reverse in product((0, 1), (0, 1)):
            yield _trial(
                f"{axis}_{exclusive}{reverse}",
                "CumSum",
                {"x": x},
                {"axis": np.array(axis, np.int64)},
                exclusive=exclusive,
                reverse=reverse,
            )
    for largest, axis in product((0, 1), (1, -1)):
        yield _trial(
            f"{largest}_{axis}", "TopK", {"x": x}, {"k": np.array([3], np.int64)}, outputs=2, largest=largest, axis=axis
        )
    for mode in ("DCR", "CRD"):
        yield _trial(mode, "DepthToSpace", {"x": _normal(1, 12, 4, 4)}, blocksize=2, mode=mode)


def _reductions() -> Iterator[OperatorTrial]:
    x = _normal(2, 3, 4, 5) + 2
    for operator in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceProd", "ReduceLogSumExp"):
        for axes, keep in product(([-1], [1], [2, 3], [0, 2]), (0, 1)):
            tag = f"{'_'.join(map(str, axes))}_{keep}"
            yield _trial(f"{tag}_18", operator, {"x": x}, {"axes": np.array(axes, np.int64)}, keepdims=keep)
            if operator != "ReduceSum":
                yield _trial(f"{tag}_13", operator, {"x": x}, opset=13, axes=axes, keepdims=keep)
    ties = np.ones((1, 2, 3, 4), np.float32)
    for operator, axis, last, keep in product(("ArgMax", "ArgMin"), (1, 3, -1), (0, 1), (0, 1)):
        for name, values in (("ties", ties), ("plain", x)):
            yield _trial(
                f"{name}_{axis}_{last}_{keep}",
                operator,
                {"x": values},
                axis=axis,
                select_last_index=last,
                keepdims=keep,
            )
    for operator, axis, opset in product(("Softmax", "LogSoftmax"), (1, 2, -1), (11, 13)):
        yield _trial(f"{axis}_{opset}", operator, {"x": x}, opset=opset, axis=axis)
    for axis in (-1, 1, 2):
        shape = x.shape[axis:]
        yield _trial(str(axis), "LayerNormalization", {"x": x}, {"s": _normal(*shape), "b": _normal(*shape)}, axis=axis)


def _padding() -> Iterator[OperatorTrial]:
    x = _normal(1, 3, 5, 6)
    for mode, pads in product(
        ("constant", "reflect", "edge", "wrap"),
        ([0, 0, 1, 1, 0, 0, 1, 1], [0, 0, 2, 0, 0, 0, 0, 1], [0, 0, -1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, 1, 0, 0]),
    ):
        opset = 19 if mode == "wrap" else 18
        tag = f"{mode}_{''.join(map(str, pads))}"
        yield _trial(tag, "Pad", {"x": x}, {"p": np.array(pads, np.int64)}, opset=opset, mode=mode)
    yield _trial(
        "value", "Pad", {"x": x}, {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), "v": np.array(2.5, np.float32)}
    )
    image = _normal(1, 2, 6, 6)
    grid = (_random.random((1, 4, 4, 2)) * 2.4 - 1.2).astype(np.float32)
    for mode, padding, align in product(("linear", "nearest", "cubic"), ("zeros", "border", "reflection"), (0, 1)):
        old = {"linear": "bilinear", "nearest": "nearest", "cubic": "bicubic"}[mode]
        yield _trial(
            f"{mode}_{padding}_{align}_16",
            "GridSample",
            {"x": image, "g": grid},
            opset=16,
            mode=old,
            padding_mode=padding,
            align_corners=align,
        )


def _versions() -> Iterator[OperatorTrial]:
    x = _normal(2, 3, 4, 5)
    for opset in (11, 13, 18, 21):
        yield _trial(
            f"{opset}",
            "Clip",
            {"x": x},
            {"lo": np.array(-0.5, np.float32), "hi": np.array(0.5, np.float32)},
            opset=opset,
        )
        yield _trial(f"{opset}", "Concat", {"x": x, "z": _normal(2, 3, 4, 5)}, opset=opset, axis=1)
        yield _trial(f"{opset}", "Reshape", {"x": x}, {"s": np.array([0, -1], np.int64)}, opset=opset)
        yield _trial(f"{opset}", "Expand", {"x": x[:, :1]}, {"s": np.array([2, 3, 4, 5], np.int64)}, opset=opset)
        yield _trial(
            f"{opset}", "Gemm", {"x": _normal(4, 6)}, {"w": _normal(5, 6), "c": _normal(5)}, opset=opset, transB=1
        )
    scales: Arrays = {"s": np.abs(_normal(3)) + 1, "b": _normal(3)}
    moments: Arrays = {"m": _normal(3), "v": np.abs(_normal(3)) + 0.5}
    for opset in (9, 14, 15):
        yield _trial(f"{opset}", "BatchNormalization", {"x": x}, {**scales, **moments}, opset=opset)
    yield _trial("4d", "InstanceNormalization", {"x": x}, scales)
    for equation, shapes in (
        ("bij,bjk->bik", ((2, 3, 4), (2, 4, 5))),
        ("bhid,bhjd->bhij", ((1, 2, 3, 4), (1, 2, 5, 4))),
    ):
        one, other = shapes
        yield _trial(equation.split("->")[1], "Einsum", {"x": _normal(*one), "z": _normal(*other)}, equation=equation)
    for approximate in ("none", "tanh"):
        yield _trial(approximate, "Gelu", {"x": x}, opset=20, approximate=approximate)
    pairs: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    pairs = (((2, 3, 4), (4, 5)), ((4,), (4, 5)), ((2, 3, 4), (4,)), ((1, 2, 3, 4), (2, 1, 4, 5)))
    for left, right in pairs:
        tag = f"{len(left)}_{len(right)}"
        yield _trial(tag, "MatMul", {"x": _normal(*left), "z": _normal(*right)})
        yield _trial(f"{tag}_held", "MatMul", {"x": _normal(*left)}, {"z": _normal(*right)})


def _quantization() -> Iterator[OperatorTrial]:
    x = _normal(2, 3, 4)
    for kind in (np.uint8, np.int8):
        zero = np.array(3, kind)
        yield _trial(
            f"tensor_{kind.__name__}", "QuantizeLinear", {"x": x}, {"s": np.array(0.05, np.float32), "z": zero}
        )
        values = _random.integers(0, 100, (2, 3, 4)).astype(kind)
        yield _trial(
            f"tensor_{kind.__name__}", "DequantizeLinear", {"x": values}, {"s": np.array(0.05, np.float32), "z": zero}
        )
        held: Arrays = {"s": np.array([0.05, 0.1, 0.2], np.float32), "z": np.array([1, 2, 3], kind)}
        yield _trial(f"axis_{kind.__name__}", "QuantizeLinear", {"x": x}, held, axis=1)
        yield _trial(f"axis_{kind.__name__}", "DequantizeLinear", {"x": values}, held, axis=1)
        left = _random.integers(0, 100, (4, 6)).astype(np.uint8)
        right = _random.integers(0, 100, (6, 5)).astype(kind)
        yield _trial(f"uint8_{kind.__name__}", "MatMulInteger", {"x": left}, {"w": right})
    yield _trial("plain", "DynamicQuantizeLinear", {"x": x}, outputs=3)
