"""ONNX files are read without their weights, and what is not one is refused by name."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.modelfiles import Write, value
from webinfer.core.errors import InvalidModel
from webinfer.core.tensors import DTYPES, TensorSpec
from webinfer.models.files.signature import read
from webinfer.models.zoo.formats.graph import Graph
from webinfer.models.zoo.formats.weights import random_weights


def test_every_dtype_and_kind_of_dimension_is_read(write: Write) -> None:
    inputs = [value(name, helper.np_dtype_to_tensor_dtype(dtype), ("batch", 3, None)) for name, dtype in DTYPES.items()]
    signature = read(write(inputs=inputs, outputs=[value("y", shape=None), value("z", shape=())])).signature
    assert signature.inputs == tuple(TensorSpec(name, name, ("batch", 3, None)) for name in DTYPES)
    assert signature.outputs == (TensorSpec("y", "float32", (), ranked=False), TensorSpec("z", "float32", ()))


def test_negative_dimension_is_any_size(write: Write) -> None:
    assert read(write(inputs=[value("x", shape=(-1, 2))])).signature.inputs[0].shape == (None, 2)


def test_initializer_listed_as_input_is_none(write: Write) -> None:
    weights = numpy_helper.from_array(np.ones(3, np.float32), "w")
    contents = read(write(inputs=[value("w", shape=(3,)), value("x")], initializers=[weights]))
    assert [spec.name for spec in contents.signature.inputs] == ["x"]


def test_signature_agrees_with_the_full_parser(write: Write) -> None:
    path = write(inputs=[value("x", TensorProto.INT64, ("a", 2))], nodes=[helper.make_node("Cast", ["x"], ["y"], to=1)])
    parsed = onnx.load(path)
    assert [spec.name for spec in read(path).signature.inputs] == [info.name for info in parsed.graph.input]
    assert read(path).operators == {"Cast"}


def test_weights_are_not_read_into_memory(tmp_path: Path) -> None:
    graph = Graph("large")
    x = graph.input("x", "float32", ("batch", 8192))
    graph.output(graph.add("MatMul", x, graph.weight("w", (8192, 8192))), "y", "float32", ("batch", 8192))
    graph.save(tmp_path / "large.onnx", lambda name, shape: np.broadcast_to(np.float32(0), shape))
    del graph
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read(tmp_path / "large.onnx").signature.outputs[0].shape == ("batch", 8192)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes; the file has 268 MB


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><title>404</title>", "web page"),
        (b"\n  <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"PK\x03\x04rest", "another format"),
        (b'{"error": "not found"}', "not an ONNX model"),
        (b"\x00" * 64, "not an ONNX model"),
        (b"\xff" * 64, "not an ONNX model|cut off"),
        (b"\x08\x08", "no ONNX graph"),
    ],
)
def test_what_is_no_model_is_refused_by_what_it_is(tmp_path: Path, contents: bytes, why: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(contents)
    with pytest.raises(InvalidModel, match=why) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="cannot be read: No such file"):
        read(tmp_path / "none.onnx")


def test_truncated_model_is_refused_wherever_it_is_cut(write: Write) -> None:
    weights = numpy_helper.from_array(np.ones(300, np.float32), "w")
    path = write(initializers=[weights])
    whole = path.read_bytes()
    end = len(whole) - len(onnx.load(path).opset_import) * 20  # the opsets come last; a cut among them loses no graph
    for cut in range(1, end, 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(InvalidModel):
            read(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidModel, match=r"cut off.*fetch it again"):
        read(path)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(min_size=1, max_size=40), at=st.integers(0, 200))
def test_corrupt_model_is_read_or_refused_but_never_crashes(write: Write, noise: bytes, at: int) -> None:
    path = write()
    whole = path.read_bytes()
    at %= len(whole)
    path.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    with contextlib.suppress(InvalidModel):
        read(path)


def test_model_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    def field(number: int, payload: bytes) -> bytes:
        return bytes([number << 3 | 2]) + _varint(len(payload)) + payload

    graph = b""
    for _ in range(2000):
        graph = field(1, field(5, field(6, graph)))
    (tmp_path / "deep.onnx").write_bytes(b"\x08\x08" + field(7, graph))
    with pytest.raises(InvalidModel, match="deeper"):
        read(tmp_path / "deep.onnx")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_model_without_outputs_is_refused(write: Write) -> None:
    path = write()
    model = onnx.load(path)
    model.graph.ClearField("output")
    onnx.save(model, path)
    with pytest.raises(InvalidModel, match="no outputs"):
        read(path)


def test_other_dtypes_and_sequences_are_refused_by_name(write: Write) -> None:
    with pytest.raises(InvalidModel, match="'x' that is a tensor of bfloat16"):
        read(write(inputs=[value("x", TensorProto.BFLOAT16)]))
    with pytest.raises(InvalidModel, match="'list' that is a sequence"):
        read(write(inputs=[helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None)]))
    with pytest.raises(InvalidModel, match=r"'list' that is a sequence.*zipmap"):
        read(write(outputs=[helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None)]))


def test_outputs_that_do_not_pass_are_told_beside_those_that_do(write: Write) -> None:
    others = [helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None), value("b", TensorProto.BFLOAT16)]
    signature = read(write(outputs=[others[0], value("y"), others[1]])).signature
    assert [spec.name for spec in signature.outputs] == ["y"]
    assert signature.others == (("list", "sequence"), ("b", "tensor of bfloat16"))


# External data


def outside(location: str, **more: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, said in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=said)
    return tensor


def save_as_is(path: Path, *initializers: TensorProto, nodes: Any = None) -> Path:
    nodes = nodes or [helper.make_node("Neg", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "graph", [value("x")], [value("y")], list(initializers))
    path.write_bytes(helper.make_model(graph, ir_version=8).SerializeToString())
    return path


def test_external_files_are_listed_once_in_order(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.bin", "sub/a.bin"):
        (tmp_path / name).write_bytes(bytes(32))
    tensors = [outside("b.bin"), outside("sub/a.bin"), outside("b.bin", offset="16", length="16")]
    assert read(save_as_is(tmp_path / "m.onnx", *tensors)).external == ("b.bin", "sub/a.bin")


def test_external_data_inside_nodes_is_listed(tmp_path: Path) -> None:
    (tmp_path / "c.bin").write_bytes(bytes(16))
    nodes = [
        helper.make_node("Constant", [], ["c"], value=outside("c.bin")),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    assert read(save_as_is(tmp_path / "m.onnx", nodes=nodes)).external == ("c.bin",)


@pytest.mark.parametrize(
    "location",
    [
        "../secret",
        "a/../../secret",
        "/etc/passwd",
        "..\\secret",
        "C:\\secret",
        "C:secret",
        "\\\\host\\share",
        "",
        ".",
        "a\0b",
    ],
)
def test_external_data_outside_the_directory_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    (tmp_path / "inner" / "a").mkdir(parents=True)
    with pytest.raises(InvalidModel, match="outside its own directory"):
        read(save_as_is(tmp_path / "inner" / "m.onnx", outside(location)))


def test_missing_and_truncated_external_data_are_refused(tmp_path: Path) -> None:
    path = save_as_is(tmp_path / "m.onnx", outside("w.bin", offset="16", length="16"))
    with pytest.raises(InvalidModel, match=r"weights in 'w.bin', which is missing: put that file at .*w\.bin"):
        read(path)
    (tmp_path / "w.bin").write_bytes(bytes(31))
    with pytest.raises(InvalidModel, match="cut off \\(31 of 32 bytes\\)"):
        read(path)
    (tmp_path / "w.bin").write_bytes(bytes(32))
    assert read(path).external == ("w.bin",)


def test_malformed_external_offset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="describes its external data wrongly"):
        read(save_as_is(tmp_path / "m.onnx", outside("w.bin", offset="many")))


# Precision


@pytest.mark.parametrize(("dtype", "expected"), [("float32", "fp32"), ("float16", "fp16")])
def test_precision_is_that_of_most_weights(tmp_path: Path, dtype: str, expected: str) -> None:
    graph = Graph("g", dtype=dtype)
    x = graph.input("x", dtype, ("n", 4))
    graph.output(graph.add("MatMul", x, graph.weight("w", (4, 4))), "y", dtype, ("n", 4))
    graph.save(tmp_path / "m.onnx", random_weights(0))
    assert read(tmp_path / "m.onnx").precision == expected


@pytest.mark.parametrize(
    ("operator", "domain", "expected"),
    [("DequantizeLinear", "", "q8"), ("MatMulInteger", "", "q8"), ("MatMulNBits", "com.microsoft", "q4")],
)
def test_precision_follows_from_quantized_operators(write: Write, operator: str, domain: str, expected: str) -> None:
    assert read(write(nodes=[helper.make_node(operator, ["x", "x"], ["y"], domain=domain)])).precision == expected


def _anonymous(name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array([2.0], np.float32), name)


def test_tensor_that_is_no_initializer_hides_no_input(write: Write, tmp_path: Path) -> None:
    """Only initializers of the graph itself have names that its inputs could have."""
    branch = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["z"])], "branch", [], [value("z", shape=None)], [_anonymous("inner")]
    )
    sparse = helper.make_sparse_tensor(_anonymous("values"), numpy_helper.from_array(np.array([0]), "indices"), [3])
    nodes = [
        helper.make_node("Constant", [], ["c"], value=_anonymous("value")),
        helper.make_node("Constant", [], ["s"], sparse_value=sparse),
        helper.make_node("If", ["cond"], ["z"], then_branch=branch, else_branch=branch),
        helper.make_node("Identity", ["value"], ["y"]),
    ]
    names = ("value", "values", "indices", "inner", "cond")
    path = write(inputs=[value(name) for name in names], nodes=nodes)
    assert [spec.name for spec in read(path).signature.inputs] == [info.name for info in onnx.load(path).graph.input]


def test_sparse_initializer_listed_as_input_is_none(write: Write) -> None:
    path = write(inputs=[value("w", shape=(3,)), value("indices")])
    model = onnx.load(path)
    indices = numpy_helper.from_array(np.array([0]), "indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(_anonymous("w"), indices, [3]))
    onnx.save(model, path)
    assert [spec.name for spec in read(path).signature.inputs] == ["indices"]
