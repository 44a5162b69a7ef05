"""Native answers: made in a process with limits, and kept by the model's hash."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.modelfiles import Write, value
from webinfer.accuracy.bounded import process, reference
from webinfer.accuracy.bounded.arrays import read_arrays, write_arrays
from webinfer.accuracy.bounded.process import available_mb, native_job
from webinfer.accuracy.native import run_native
from webinfer.accuracy.samples.short_texts import short_texts
from webinfer.core.errors import InputError, RunFailed
from webinfer.core.lifetime.worker_process import Job
from webinfer.models.sources.resolve import resolve

pytestmark = pytest.mark.usefixtures("own_cache")
FOR_EVER = 2**62


def loop(write: Write, count: int = FOR_EVER) -> Path:
    """A graph that adds a half to its input, as often as it is told."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Add", ["a", "half"], ["b"])],
        "body",
        [value("i", TensorProto.INT64, []), value("c", TensorProto.BOOL, []), value("a", shape=None)],
        [value("d", TensorProto.BOOL, []), value("b", shape=None)],
        [numpy_helper.from_array(np.full(1, 0.5, np.float32), "half")],
    )
    constants = {"count": np.array(count), "go": np.array(True)}
    return write(
        nodes=[helper.make_node("Loop", ["count", "go", "x"], ["y"], body=body)],
        initializers=[numpy_helper.from_array(array, name) for name, array in constants.items()],
    )


def bomb(write: Write, numbers: int = 10**12) -> Path:
    """A graph that makes as many numbers as it is told, and sums them up."""
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["many"], value=one),
        helper.make_node("ReduceSum", ["many"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    return write(nodes=nodes, initializers=[numpy_helper.from_array(np.array([numbers]), "shape")])


def test_answers_are_those_of_a_run_in_this_process(write: Write) -> None:
    package = resolve(loop(write, 3))
    found = reference.reference(package, native_job(package))
    assert found.reason is None
    assert found.version
    for canary in found.canaries:
        np.testing.assert_array_equal(canary.answer["y"], run_native(package, canary.inputs)["y"])


def test_short_texts_are_answered_in_their_exact_shape(write: Write) -> None:
    inputs = [value(name, TensorProto.INT64, ("batch", "seq")) for name in ("input_ids", "attention_mask")]
    nodes = [helper.make_node("Mul", ["input_ids", "attention_mask"], ["y"])]
    path = write(nodes=nodes, inputs=inputs, outputs=[value("y", TensorProto.INT64, ("batch", "seq"))])
    package = resolve(path)
    texts = reference.reference(package, Job()).texts
    assert [text.inputs["input_ids"].shape for text in texts] == [(1, 2)] * len(short_texts(package))
    for text, made in zip(texts, short_texts(package), strict=True):
        np.testing.assert_array_equal(text.inputs["attention_mask"], made["attention_mask"])
        np.testing.assert_array_equal(text.answer["y"], run_native(package, made)["y"])
    assert not reference.reference(resolve(loop(write, 3)), Job()).texts


def test_what_is_known_need_not_be_asked_for(write: Write) -> None:
    package = resolve(loop(write, 3))
    assert not reference.is_answered(package)
    reference.reference(package, Job())
    assert reference.is_answered(package)


def test_answers_are_kept_by_the_hash(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = loop(write, 3)
    first = reference.reference(resolve(path), Job())
    monkeypatch.setattr(reference, "ask", None)  # called again it would fail
    copy = path.with_name("copy.onnx")
    shutil.copy(path, copy)
    again = reference.reference(resolve(copy), Job())
    assert len(again.canaries) == len(first.canaries) > 0


def test_graph_that_never_ends_has_no_answers_and_a_reason(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    package = resolve(loop(write))
    told = f"the canaries do not run natively: Running {package.name} natively took longer than 2 s."
    assert reference.reference(package, Job(seconds=2)).reason == told
    asked: list[float | None] = []

    def ask(job: Job, *_: object) -> None:
        asked.append(job.seconds)
        raise RunFailed("still not")

    monkeypatch.setattr(reference, "ask", ask)
    assert reference.reference(package, Job(seconds=2)).reason == told  # from what is kept
    assert reference.reference(package, Job(seconds=4)).reason != told  # there is more time now
    assert asked == [4]


def test_graph_that_asks_for_terabytes_has_no_answers_and_a_reason(write: Write) -> None:
    package = resolve(bomb(write))
    assert "takes more memory than" in (reference.reference(package, native_job(package)).reason or "")


def test_graph_that_takes_more_than_may_be_had_has_no_answers(write: Write) -> None:
    package = resolve(bomb(write, 250_000_000))
    about = reference.reference(package, Job(memory_mb=300)).reason or ""
    assert "takes more memory than this machine has beside the browser, 300 MB" in about


def test_model_too_large_beside_the_browser_is_not_tried(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    package = resolve(loop(write, 1))
    monkeypatch.setattr(process, "available_mb", lambda: 100.0)
    monkeypatch.setattr(process, "_workers", None)  # asked it would fail
    assert "takes more memory than" in (reference.reference(package, native_job(package)).reason or "")


def test_model_that_onnxruntime_refuses_has_a_reason(write: Write) -> None:
    package = resolve(write(nodes=[helper.make_node("Nonsense", ["x"], ["y"])]))
    assert "Nonsense" in (reference.reference(package, Job()).reason or "")


def test_work_that_is_given_up_is_not_kept(write: Write, own_cache: Path) -> None:
    package, job = resolve(loop(write)), Job()
    threading.Timer(1, job.cancel).start()
    with pytest.raises(RunFailed, match="was given up"):
        reference.reference(package, job)
    assert not [path for path in (own_cache / "references").iterdir() if path.is_dir()]


def test_cache_that_cannot_be_written_is_done_without(write: Write, own_cache: Path) -> None:
    own_cache.mkdir()
    (own_cache / "references").write_text("in the way", encoding="utf-8")
    assert reference.reference(resolve(loop(write, 2)), Job()).canaries


def test_answers_that_are_nan_are_no_reference(write: Write) -> None:
    nan = numpy_helper.from_array(np.full(1, np.nan, np.float32), "nan")
    path = write(nodes=[helper.make_node("Add", ["x", "nan"], ["y"])], initializers=[nan])
    assert reference.reference(resolve(path), Job()).reason == "native onnxruntime answers NaN to the canaries"


def test_other_graph_answers_the_same_canaries(write: Write, tmp_path: Path) -> None:
    package = resolve(write())
    canaries = reference.reference(package, Job()).canaries
    other = onnx.load(package.model.path)
    other.graph.node[0].op_type = "Abs"
    onnx.save(other, tmp_path / "other.onnx")
    for canary, answer in zip(
        canaries, reference.answers_of(package, tmp_path / "other.onnx", canaries, Job()), strict=True
    ):
        np.testing.assert_array_equal(answer["y"], np.abs(canary.inputs["x"]))


def test_arrays_come_back_under_whatever_names(tmp_path: Path) -> None:
    arrays = {
        "file": np.arange(3),
        "a/../b": np.array(1.5),
        "": np.zeros((0, 2), bool),
        "text": np.array(["a", "ü"], object),
    }
    write_arrays(tmp_path / "x", {**arrays, "list": [1]})
    found = read_arrays(tmp_path / "x")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_limit_of_a_group_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_GROUP", tmp_path)
    free = available_mb()
    (tmp_path / "memory.current").write_text("1000000\n", encoding="ascii")
    (tmp_path / "memory.max").write_text("max\n", encoding="ascii")
    assert available_mb() > free / 2
    (tmp_path / "memory.max").write_text("5000000\n", encoding="ascii")
    assert available_mb() == 4


def test_error_of_the_job_is_passed_on(write: Write, tmp_path: Path) -> None:
    package = resolve(write(inputs=[value("x", TensorProto.FLOAT16)], outputs=[value("y", TensorProto.FLOAT16)]))
    canaries = (reference.Canary({"x": np.ones(2, np.int8)}, {}),)
    with pytest.raises((RunFailed, InputError)):
        reference.answers_of(package, package.model.path, canaries, Job())
    assert reference.reference(package, Job()).canaries


def test_canaries_are_longer_where_the_model_takes_no_short_ones(write: Write) -> None:
    kernel = numpy_helper.from_array(np.ones((1, 1, 100), np.float32), "kernel")
    sides = {"inputs": [value("x", shape=(1, 1, "n"))], "outputs": [value("y", shape=(1, 1, "m"))]}
    package = resolve(write(nodes=[helper.make_node("Conv", ["x", "kernel"], ["y"])], initializers=[kernel], **sides))
    canaries = reference.canaries_of(package)
    assert all(canary.inputs["x"].shape[2] >= 100 for canary in canaries)
    assert all(canary.answer["y"].shape[2] == canary.inputs["x"].shape[2] - 99 for canary in canaries)


def test_model_that_takes_no_length_fails_with_the_first_reason(write: Write) -> None:
    nodes = [
        helper.make_node("Constant", [], ["shape"], value_ints=[3, 7]),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
    ]
    package = resolve(write(nodes=nodes, inputs=[value("x", shape=(1, "m"))], outputs=[value("y", shape=(3, 7))]))
    with pytest.raises(RunFailed, match=r"Nothing says what .* Input shape:\{1,16\}"):
        reference.canaries_of(package)


def test_model_without_an_end_has_no_canaries_and_says_so(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "SECONDS", 2.0)
    with pytest.raises(RunFailed, match=r"Nothing says what .* took longer than 2 s"):
        reference.canaries_of(resolve(loop(write)))
