"""What it saves to leave an output in the browser: three heads on one embedding, by handle and through Python.

The encoder is BERT-base with random weights, whose hidden states have 768 numbers a token. Each head takes their mean
over the tokens and multiplies it by a matrix. Contestants take turns in one run, and their scores must be equal.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.loading import spread
from benchmarks.measure import machine, median_ms, parser, show, take_turns
from webinfer import AsyncAccelerator, AsyncModel

HIDDEN, WIDTH, HEADS = "last_hidden_state", 768, 3


def save_head(folder: Path, number: int) -> Path:
    """Write a head: the mean of hidden states over the tokens, multiplied by a matrix of its own."""
    weights = np.random.default_rng(number).standard_normal((WIDTH, 16)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["hidden"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
        ],
        f"head{number}",
        [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ("batch", "tokens", WIDTH))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("batch", 16))],
        [numpy_helper.from_array(weights, "weights")],
    )
    path = folder / f"head{number}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def tokens(rows: int, length: int) -> dict[str, NDArray[Any]]:
    """Make up texts."""
    ids = np.random.default_rng(length).integers(5, 900, (rows, length), dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


async def score(heads: Sequence[AsyncModel], hidden: Any) -> list[NDArray[Any]]:
    """Return every head's scores of hidden states: an array, or a handle."""
    return [(await head.run({"hidden": hidden}))["scores"] for head in heads]


async def through_python(encoder: AsyncModel, heads: Sequence[AsyncModel], inputs: Any) -> list[NDArray[Any]]:
    """Send the hidden states to Python, and from there to each head."""
    return await score(heads, (await encoder.run(inputs, outputs=[HIDDEN]))[HIDDEN])


async def by_handle(encoder: AsyncModel, heads: Sequence[AsyncModel], inputs: Any) -> list[NDArray[Any]]:
    """Leave the hidden states in the browser."""
    handle = (await encoder.run(inputs, outputs=[], keep=[HIDDEN])).kept[HIDDEN]
    try:
        return await score(heads, handle)
    finally:
        handle.close()


async def measure(
    encoder: AsyncModel, heads: Sequence[AsyncModel], rounds: int, rows: int, length: int
) -> list[list[str]]:
    """Return the table's rows for one shape: all of it, and the heads alone."""
    inputs = tokens(rows, length)
    hidden = (await encoder.run(inputs, outputs=[HIDDEN]))[HIDDEN]
    handle = (await encoder.run(inputs, outputs=[], keep=[HIDDEN])).kept[HIDDEN]
    pairs = zip(await score(heads, hidden), await score(heads, handle), strict=True)
    off = max(float(abs(one - other).max()) for one, other in pairs)
    parts = {
        "encoder and heads": (
            partial(through_python, encoder, heads, inputs),
            partial(by_handle, encoder, heads, inputs),
        ),
        "heads alone": (partial(score, heads, hidden), partial(score, heads, handle)),
    }
    table = []
    for part, (sending, leaving) in parts.items():
        times = await take_turns({"sent": sending, "kept": leaving}, rounds, 1)
        saved = hidden.nbytes * (len(heads) + (part != "heads alone")) / 1e6
        medians = (f"{median_ms(times[name]):.2f}" for name in ("sent", "kept"))
        ratio = spread([sent / kept for sent, kept in zip(times["sent"], times["kept"], strict=True)])
        table.append([encoder.backend, f"{rows} x {length}", part, *medians, ratio, f"{saved:.2f}", f"{off:.1e}"])
    handle.close()
    return table


async def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--backends", nargs="+", default=["wasm", "webnn"], help="backends to measure")
    options = arguments.parse_args()
    rounds = 5 if options.quick else 50
    table = []
    for backend in options.backends:
        async with AsyncAccelerator(browser=options.browser, platform=backend, accuracy="off") as accelerator:
            with tempfile.TemporaryDirectory() as folder:
                encoder = await accelerator.load("random:bert-base-uncased")
                heads = [await accelerator.load(save_head(Path(folder), number)) for number in range(HEADS)]
                for rows, length in ((1, 16), (1, 128), (8, 128)):
                    table += await measure(encoder, heads, rounds, rows, length)
    columns = [
        "backend",
        "rows x tokens",
        "part",
        "through Python ms",
        "by handle ms",
        "times faster",
        "MB saved",
        "off by",
    ]
    show(f"Three heads on one embedding ({machine()})", columns, table)


if __name__ == "__main__":
    asyncio.run(main())
