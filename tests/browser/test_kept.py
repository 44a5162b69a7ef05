"""Outputs that stay in the browser: other models take them, and they are freed with their last reference."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.browser.conftest import start
from webinfer import Accelerator, AsyncAccelerator, TensorHandle
from webinfer.core.errors import (
    DeadlineExceeded,
    DtypeMismatch,
    HandleLost,
    MissingInput,
    OptionError,
    ShapeMismatch,
    UnknownInput,
    UnknownOutput,
)

pytestmark = pytest.mark.browser

node = helper.make_node
BACKENDS = ("wasm", "webnn", "webgpu")
HIDDEN = "last_hidden_state"


@pytest.fixture(scope="module")
def accelerator() -> Iterator[Accelerator]:
    """One whose models are not compared with native: what is kept is compared with what is not."""
    accelerator = start("embedded", accuracy="off")
    yield accelerator
    accelerator.close()


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """A head over hidden states of 128 features: ``scores`` is their mean over the tokens, less a bias."""
    nodes = [
        node("ReduceMean", ["hidden"], ["mean"], axes=[1], keepdims=0),
        node("Sub", ["mean", "bias"], ["scores"]),
    ]
    inputs = {"hidden": (TensorProto.FLOAT, ("batch", "tokens", 128)), "bias": (TensorProto.FLOAT, (1,))}
    return _save(tmp_path / "head.onnx", nodes, inputs, {"scores": ("batch", 128)})


def _save(path: Path, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any]) -> Path:
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(name, dtype, shape) for name, (dtype, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def tokens(length: int, seed: int = 0, rows: int = 1) -> dict[str, NDArray[Any]]:
    ids = np.random.default_rng(seed).integers(5, 900, (rows, length), dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def kept_on(accelerator: Accelerator) -> tuple[int, int]:
    """Return how many tensors the lanes keep, and their bytes."""
    lanes = [lane for browser in accelerator.snapshot().browsers for lane in browser.lanes]
    return sum(lane.kept for lane in lanes), sum(lane.kept_bytes for lane in lanes)


@pytest.mark.parametrize("backend", BACKENDS)
def test_heads_answer_on_what_an_encoder_left_as_on_what_it_sent(
    accelerator: Accelerator, head: Path, backend: Any
) -> None:
    bias = np.array([0.25], np.float32)
    with (
        accelerator.load("random:bert-tiny", platform=backend) as encoder,
        accelerator.load(head, platform=backend) as scorer,
    ):
        for length, rows in ((16, 1), (9, 1), (21, 3)):  # two of them are off every bucket
            whole = encoder.run(tokens(length, length, rows))
            result = encoder.run(tokens(length, length, rows), keep=[HIDDEN])
            handle = result.kept[HIDDEN]
            assert isinstance(handle, TensorHandle)
            assert (handle.shape, handle.dtype) == ((rows, length, 128), np.dtype(np.float32))
            assert handle.nbytes == handle.shape[0] * length * 128 * 4
            assert list(result.outputs) == [name for name in whole.outputs if name != HIDDEN]
            np.testing.assert_allclose(handle.read(), whole[HIDDEN], atol=2e-5)
            sent = scorer.run({"hidden": handle.read(), "bias": bias})
            taken = scorer.run({"hidden": handle, "bias": bias})
            np.testing.assert_allclose(taken["scores"], sent["scores"], atol=1e-6)
            assert (taken.lane, taken.placement) == (result.lane, sent.placement)


def test_a_tensor_is_freed_with_its_last_reference_and_not_before(accelerator: Accelerator, head: Path) -> None:
    with (
        accelerator.load("random:bert-tiny", platform="wasm") as encoder,
        accelerator.load(head, platform="wasm") as scorer,
    ):
        result = encoder.run(tokens(16), keep=[HIDDEN])
        assert kept_on(accelerator) == (1, 16 * 128 * 4)
        handle = result.kept[HIDDEN]
        del result
        gc.collect()
        scorer.run({"hidden": handle, "bias": [0.0]})
        assert kept_on(accelerator) == (1, 16 * 128 * 4)
        del handle
        gc.collect()
        scorer.run({"hidden": np.zeros((1, 2, 128), np.float32), "bias": [0.0]})  # the loop has turned since
        assert kept_on(accelerator) == (0, 0)


def test_a_closed_handle_is_refused_and_what_others_keep_stays(accelerator: Accelerator, head: Path) -> None:
    with (
        accelerator.load("random:bert-tiny", platform="wasm") as encoder,
        accelerator.load(head, platform="wasm") as scorer,
    ):
        one, other = (encoder.run(tokens(16, seed), keep=[HIDDEN]).kept[HIDDEN] for seed in (1, 2))
        one.close()
        one.close()
        assert (one.closed, other.closed) == (True, False)
        for use in (one.read, lambda: scorer.run({"hidden": one, "bias": [0.0]})):
            with pytest.raises(HandleLost, match="was closed: run bert-tiny again"):
                use()
        assert scorer.run({"hidden": other, "bias": [0.0]})["scores"].shape == (1, 128)


def test_inputs_that_a_handle_cannot_be_are_refused_with_what_to_do(
    accelerator: Accelerator, head: Path, tmp_path: Path
) -> None:
    nodes = [node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)]
    whole = _save(tmp_path / "whole.onnx", nodes, {"x": (TensorProto.INT64, ("n", 3))}, {"y": ("n", 3)})
    with (
        accelerator.load(whole, platform="wasm") as cast,
        accelerator.load(head, platform="wasm") as scorer,
    ):
        handle = cast.run([[1, 2, 3]], keep=["y"]).kept["y"]
        with pytest.raises(ShapeMismatch, match="takes hidden"):
            scorer.run({"hidden": handle, "bias": [0.0]})
        with pytest.raises(DtypeMismatch, match="pass what its read"):
            cast.run({"x": handle})
        with pytest.raises(UnknownInput, match="hiden"):
            scorer.run({"hiden": handle, "bias": [0.0]})
        with pytest.raises(MissingInput, match="x"):
            cast.run({}, keep=["y"])
        with pytest.raises(UnknownOutput, match="z"):
            cast.run([[1, 2, 3]], keep=["z"])
        with (
            start("embedded", accuracy="off") as elsewhere,
            elsewhere.load(head, platform="wasm") as stranger,
            pytest.raises(OptionError, match="another accelerator"),
        ):
            stranger.run({"hidden": handle, "bias": [0.0]})


def test_a_model_runs_where_its_tensors_are_and_those_of_other_lanes_are_brought_there(tmp_path: Path) -> None:
    matrix = (TensorProto.FLOAT, ("rows", 3))
    double = _save(tmp_path / "double.onnx", [node("Add", ["x", "x"], ["y"])], {"x": matrix}, {"y": ("rows", 3)})
    join = [node("Concat", ["a", "b"], ["both"], axis=0)]
    joint = _save(tmp_path / "join.onnx", join, {"a": matrix, "b": matrix}, {"both": ("all", 3)})
    with (
        start("embedded", accuracy="off", lanes=2, platform="wasm") as accelerator,
        accelerator.load(double) as producer,
        accelerator.load(joint) as consumer,
    ):
        by_lane: dict[str, TensorHandle] = {}
        for number in range(100):  # until both lanes hold one
            futures = [producer.submit(np.full((rows, 3), number, np.float32), keep=["y"]) for rows in (1, 4) * 8]
            for future in futures:
                (handle,) = future.result().kept.values()
                by_lane.setdefault(handle.lane, handle)
            if len(by_lane) == 2:
                break
        one, two = by_lane.values()
        larger = max(one, two, key=lambda handle: handle.nbytes)
        result = consumer.run({"a": one, "b": two})
        np.testing.assert_array_equal(result["both"], np.concatenate([one.read(), two.read()]))
        assert result.lane == larger.lane or one.nbytes == two.nbytes
        same = consumer.run({"a": one, "b": one}, keep=["both"])
        assert (same.lane, same.kept["both"].lane) == (one.lane, one.lane)
        np.testing.assert_array_equal(same.kept["both"].read(), np.concatenate([one.read(), one.read()]))


def test_a_model_of_another_browser_gets_a_tensor_through_python(tmp_path: Path) -> None:
    """Firefox, where models for sound go first, has no WebNN. So the second model cannot run beside the first."""
    for browser in ("firefox", "embedded"):
        start(browser).close()
    matrix = (TensorProto.FLOAT, ("rows", 3))
    folder = tmp_path / "sound"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "wav2vec2"}', encoding="utf-8")
    _save(folder / "model.onnx", [node("Add", ["x", "x"], ["y"])], {"x": matrix}, {"y": ("rows", 3)})
    negate = _save(tmp_path / "negate.onnx", [node("Neg", ["a"], ["b"])], {"a": matrix}, {"b": ("rows", 3)})
    with (
        Accelerator(browsers=["embedded", "firefox"], accuracy="off") as accelerator,
        accelerator.load(folder, platform="wasm") as producer,
        accelerator.load(negate, platform="webnn") as consumer,
    ):
        result = producer.run([[1, 2, 3]], keep=["y"])
        taken = consumer.run({"a": result.kept["y"]})
        assert (result.browser, taken.browser) == ("firefox", "embedded")
        assert taken["b"].tolist() == [[-2, -4, -6]]


def test_loading_beside_a_tensor_counts_into_the_time_limit(accelerator: Accelerator, head: Path) -> None:
    with (
        accelerator.load("random:bert-tiny", platform="wasm") as encoder,
        accelerator.load(head, platform="webnn") as scorer,  # which has a session for each shape
    ):
        handle = encoder.run(tokens(33), keep=[HIDDEN]).kept[HIDDEN]
        with pytest.raises(DeadlineExceeded, match=r"was not loaded within 0\.001 s where its inputs are"):
            scorer.run({"hidden": handle, "bias": [0.0]}, timeout=0.001)
        assert scorer.run({"hidden": handle, "bias": [0.0]})["scores"].shape == (1, 128)


def test_what_a_lost_browser_held_is_lost_with_a_typed_error(head: Path) -> None:
    with (
        start("embedded", accuracy="off") as accelerator,
        accelerator.load("random:bert-tiny", platform="wasm") as encoder,
        accelerator.load(head, platform="wasm") as scorer,
    ):
        handle = encoder.run(tokens(16), keep=[HIDDEN]).kept[HIDDEN]
        (browser,) = accelerator.snapshot().browsers
        assert browser.pid is not None
        os.kill(browser.pid, signal.SIGKILL)

        def run_until_lost() -> None:
            for _ in range(10_000):  # its page may answer a while longer than its process lives
                scorer.run({"hidden": handle, "bias": [0.0]})

        with pytest.raises(HandleLost, match=r"again|start over"):
            run_until_lost()
        with pytest.raises(HandleLost):
            handle.read()
        again = encoder.run(tokens(16), keep=[HIDDEN]).kept[HIDDEN]  # in the browser that took its place
        assert scorer.run({"hidden": again, "bias": [0.0]})["scores"].shape == (1, 128)


async def test_handles_are_the_same_in_asynchronous_code(head: Path) -> None:
    async with AsyncAccelerator(browser="embedded", platform="wasm", accuracy="off") as accelerator:
        encoder, scorer = await accelerator.load("random:bert-tiny"), await accelerator.load(head)
        result = await encoder.submit(tokens(16), keep=[HIDDEN], outputs=[HIDDEN])
        handle = result.kept[HIDDEN]
        np.testing.assert_array_equal(await handle.read(), result[HIDDEN])  # kept and sent, as both were asked for
        taken = await scorer.run({"hidden": handle, "bias": [0.0]})
        np.testing.assert_allclose(taken["scores"], result[HIDDEN].mean(axis=1), atol=1e-6)
        handle.close()
