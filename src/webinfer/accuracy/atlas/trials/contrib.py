"""The runtime's own operators, of the domain ``com.microsoft``, as exporters and optimizers write them into models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from webinfer.accuracy.atlas.trials.trial import Arrays, OperatorTrial, one_node
from webinfer.models.graphs.fusion.matching import CONTRIB

_SEED = 7


def contrib_trials() -> Iterator[OperatorTrial]:
    """Yield trials of the runtime's own operators. Native onnxruntime decides what is right."""
    random = np.random.default_rng(_SEED)

    def normal(*shape: int) -> NDArray[np.float32]:
        return random.standard_normal(shape).astype(np.float32)

    def trial(
        name: str, operator: str, inputs: Arrays, constants: Arrays | None = None, *, outputs: int = 1, **stated: Any
    ) -> OperatorTrial:
        names = [*inputs, *(constants or {})]
        order = sorted(names, key=lambda key: int(key.partition("_")[0][1:]))
        placed = [""] * (1 + max(int(key.partition("_")[0][1:]) for key in order)) if order else []
        for key in order:
            placed[int(key.partition("_")[0][1:])] = key
        node = helper.make_node(operator, placed, [f"y{n}" for n in range(outputs)], domain=CONTRIB, **stated)
        return one_node(f"contrib_{name}", node, inputs, constants)

    hidden = normal(2, 6, 16)
    yield trial("gelu", "Gelu", {"i0": hidden})
    yield trial("quick_gelu", "QuickGelu", {"i0": hidden}, alpha=1.702)
    yield trial("fast_gelu", "FastGelu", {"i0": hidden})
    yield trial("fast_gelu_bias", "FastGelu", {"i0": hidden}, {"i1_bias": normal(16)})
    yield trial("bias_gelu", "BiasGelu", {"i0": hidden}, {"i1_bias": normal(16)})
    yield trial("fused_matmul", "FusedMatMul", {"i0": normal(2, 6, 16)}, {"i1": normal(16, 5)}, alpha=0.5)
    yield trial("fused_matmul_trans_b", "FusedMatMul", {"i0": normal(2, 6, 16), "i1": normal(2, 5, 16)}, transB=1)
    yield trial("fused_matmul_trans_a", "FusedMatMul", {"i0": normal(2, 16, 6), "i1": normal(2, 16, 5)}, transA=1)
    yield trial(
        "skip_layer_norm",
        "SkipLayerNormalization",
        {"i0": hidden, "i1": normal(2, 6, 16)},
        {"i2_gamma": normal(16), "i3_beta": normal(16), "i4_bias": normal(16)},
    )
    yield trial(
        "skip_layer_norm_no_bias",
        "SkipLayerNormalization",
        {"i0": hidden, "i1": normal(2, 6, 16)},
        {"i2_gamma": normal(16), "i3_beta": normal(16)},
    )
    yield trial(
        "skip_simplified_layer_norm",
        "SkipSimplifiedLayerNormalization",
        {"i0": hidden, "i1": normal(2, 6, 16)},
        {"i2_gamma": normal(16)},
        epsilon=1e-6,
    )
    yield from _attention(trial, normal)
    yield from _quantized(trial, normal, random)


def _attention(trial: Any, normal: Any) -> Iterator[OperatorTrial]:
    batch, steps, heads, size = 1, 6, 4, 16
    width = heads * size
    angles = np.arange(32)[:, None] / 10000 ** (np.arange(size // 2) / (size // 2))
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    positions = np.arange(steps, dtype=np.int64)[None]
    for interleaved in (0, 1):
        yield trial(
            f"rotary_3d_interleaved_{interleaved}",
            "RotaryEmbedding",
            {"i0": normal(batch, steps, width), "i1_positions": positions},
            {"i2_cos": cos, "i3_sin": sin},
            interleaved=interleaved,
            num_heads=heads,
        )
        yield trial(
            f"rotary_4d_interleaved_{interleaved}",
            "RotaryEmbedding",
            {"i0": normal(batch, heads, steps, size), "i1_positions": positions},
            {"i2_cos": cos, "i3_sin": sin},
            interleaved=interleaved,
        )
    q, k, v = normal(batch, steps, width), normal(batch, steps, width), normal(batch, steps, width)
    yield trial("multi_head_attention", "MultiHeadAttention", {"i0_q": q, "i1_k": k, "i2_v": v}, num_heads=heads)
    yield trial(
        "multi_head_attention_mask",
        "MultiHeadAttention",
        {"i0_q": q, "i1_k": k, "i2_v": v, "i4_mask": np.array([[1, 1, 1, 1, 0, 0]], np.int32)},
        num_heads=heads,
    )
    yield trial(
        "multi_head_attention_bias",
        "MultiHeadAttention",
        {"i0_q": q, "i1_k": k, "i2_v": v},
        {"i3_bias": normal(3 * width)},
        num_heads=heads,
    )
    yield trial(
        "multi_head_attention_cross",
        "MultiHeadAttention",
        {"i0_q": q, "i1_k": normal(batch, 9, width), "i2_v": normal(batch, 9, width)},
        num_heads=heads,
    )
    yield trial(
        "attention",
        "Attention",
        {"i0": normal(batch, steps, width)},
        {"i1_weights": normal(width, 3 * width) / 8, "i2_bias": normal(3 * width)},
        num_heads=heads,
    )
    yield trial(
        "attention_unidirectional",
        "Attention",
        {"i0": normal(batch, steps, width)},
        {"i1_weights": normal(width, 3 * width) / 8, "i2_bias": normal(3 * width)},
        num_heads=heads,
        unidirectional=1,
    )
    for kv in (4, 2):
        for rotary in (0, 1):
            past = {"i3_past_k": normal(batch, kv, 3, size), "i4_past_v": normal(batch, kv, 3, size)}
            inputs = {
                "i0_q": normal(batch, 1, width),
                "i1_k": normal(batch, 1, kv * size),
                "i2_v": normal(batch, 1, kv * size),
                **past,
                "i5_lengths": np.array([3], np.int32),
                "i6_total": np.array([4], np.int32).reshape(()),
            }
            yield trial(
                f"group_query_attention_{kv}_rotary_{rotary}",
                "GroupQueryAttention",
                inputs,
                {"i7_cos": cos, "i8_sin": sin} if rotary else None,
                outputs=3,
                num_heads=heads,
                kv_num_heads=kv,
                do_rotary=rotary,
            )


def _quantized(trial: Any, normal: Any, random: np.random.Generator) -> Iterator[OperatorTrial]:
    for bits in (4, 8):
        for block in (16, 32, 128):
            for zero in (False, True):
                rows, columns = 8, 128
                blocks = columns // block
                held = {
                    "i1_b": random.integers(0, 256, (rows, blocks, block * bits // 8), np.uint8),
                    "i2_scales": np.abs(normal(rows * blocks)) / 16 + 0.01,
                }
                if zero:
                    held["i3_zeros"] = random.integers(0, 256, rows * ((blocks * bits + 7) // 8), np.uint8)
                yield trial(
                    f"matmul_{bits}_bits_block_{block}_zeros_{int(zero)}",
                    "MatMulNBits",
                    {"i0": normal(1, 5, columns)},
                    held,
                    K=columns,
                    N=rows,
                    bits=bits,
                    block_size=block,
                )
    weights = random.integers(-127, 127, (16, 8), np.int8)
    yield trial(
        "dynamic_quantize_matmul",
        "DynamicQuantizeMatMul",
        {"i0": normal(5, 16)},
        {"i1_b": weights, "i2_scale": np.array(0.02, np.float32)},
    )
    yield trial(
        "matmul_integer_to_float",
        "MatMulIntegerToFloat",
        {"i0": random.integers(0, 255, (5, 16), np.uint8)},
        {
            "i1_b": weights,
            "i2_a_scale": np.array(0.1, np.float32),
            "i3_b_scale": np.array(0.02, np.float32),
            "i4_zero": np.array(128, np.uint8),
        },
    )
    image = {"i0": random.integers(0, 255, (1, 3, 8, 8), np.uint8)}
    unit = np.array(0.1, np.float32)
    middle = np.array(128, np.uint8)
    yield trial(
        "qlinear_average_pool",
        "QLinearAveragePool",
        image,
        {"i1_s": unit, "i2_z": middle, "i3_s": unit, "i4_z": middle},
        kernel_shape=[2, 2],
    )
    yield trial(
        "qlinear_global_average_pool",
        "QLinearGlobalAveragePool",
        image,
        {"i1_s": unit, "i2_z": middle, "i3_s": unit, "i4_z": middle},
    )
    for operator in ("QLinearAdd", "QLinearMul"):
        yield trial(
            operator.lower(),
            operator,
            {"i0": image["i0"], "i3_b": image["i0"][..., ::-1].copy()},
            {"i1_s": unit, "i2_z": middle, "i4_s": unit, "i5_z": middle, "i6_s": unit, "i7_z": middle},
        )
    for operator in ("QLinearSigmoid", "QLinearLeakyRelu"):
        yield trial(operator.lower(), operator, image, {"i1_s": unit, "i2_z": middle, "i3_s": unit, "i4_z": middle})
    yield trial(
        "fused_conv_relu",
        "FusedConv",
        {"i0": normal(1, 4, 8, 8)},
        {"i1_w": normal(6, 4, 3, 3)},
        activation="Relu",
        pads=[1, 1, 1, 1],
    )
