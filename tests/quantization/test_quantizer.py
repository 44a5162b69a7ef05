"""Models are brought to fewer bits, with what that loses measured, or it is said why not."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tests.modelfiles import Write, value
from webinfer.core.errors import NotQuantizable, OptionError, UnsupportedOperator
from webinfer.core.lifetime.worker_process import Job
from webinfer.models.files.package import ModelPackage, describe
from webinfer.models.sources.resolve import resolve
from webinfer.quantization import obtain, precision_of, quantize, scheme_of
from webinfer.quantization.quantizer import make
from webinfer.quantization.weights.rounding import Floats

node = helper.make_node
random = np.random.default_rng(3)
BLOCKED = ["q8", "q4", "q4f16", "q4-mixed", "q3", "q2"]


def matrix(*shape: int) -> Floats:
    return (random.standard_normal(shape) * 0.1).astype(np.float32)


def tensor(name: str, array: Any) -> TensorProto:
    return numpy_helper.from_array(array, name)


def operators(path: Path) -> Counter[str]:
    return Counter(each.op_type for each in onnx.load(path, load_external_data=False).graph.node)


def made(path: Path, precision: str, directory: Path, **options: Any) -> tuple[Path, dict[str, Any]]:
    """Bring a file to a precision, in this process."""
    report = make(describe(path, str(path)), scheme_of(precision), directory, lambda part: None, **options)
    return next(directory.glob("onnx/*.onnx")), report


@pytest.fixture
def out(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory


@pytest.fixture
def network(write: Write) -> Path:
    """Tokens looked up in a table, two layers, one of which has the table's own weights."""
    table = matrix(96, 64)
    return write(
        nodes=[
            node("Gather", ["table", "input_ids"], ["a"]),
            node("MatMul", ["a", "first"], ["b"]),
            node("Relu", ["b"], ["c"]),
            node("MatMul", ["c", "head"], ["y"]),
        ],
        inputs=[value("input_ids", TensorProto.INT64, ("batch", "sequence"))],
        outputs=[value("y", shape=("batch", "sequence", 96))],
        initializers=[tensor("table", table), tensor("first", matrix(64, 64)), tensor("head", table.T.copy())],
    )


def test_caller_hears_its_own_warnings_after_int8(network: Path, out: Path) -> None:
    level = logging.getLogger().level
    made(network, "int8", out)
    assert logging.getLogger().level == level


# The arithmetic


# The guide's words


@pytest.mark.parametrize(
    ("quantization", "precision"),
    [
        (None, None),
        ({}, None),
        ({"bits": 16}, None),
        ({"bits": 8, "mixed_precision": False}, "q8"),
        ({"bits": 8, "mixed_precision": True}, "q8"),
        ({"bits": 4}, "q4"),
        ({"bits": 4, "mixed_precision": True}, "q4-mixed"),
        ({"bits": 3}, "q3"),
        ({"bits": 2}, "q2"),
    ],
)
def test_quantization_means_a_precision(quantization: dict[str, Any] | None, precision: str | None) -> None:
    assert precision_of(quantization) == precision


@pytest.mark.parametrize(
    "quantization", [{"bits": 5}, {"bits": True}, {"bit": 4}, {"bits": 2, "mixed_precision": True}, {"bits": "4"}]
)
def test_quantization_that_cannot_be_is_refused(quantization: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        precision_of(quantization)


# What is made


@pytest.mark.parametrize("precision", ["fp16", "int8", *BLOCKED])
def test_every_precision_answers_nearly_as_the_full_one(network: Path, out: Path, precision: str) -> None:
    path, report = made(network, precision, out)
    least = {"q2": 0.85, "q3": 0.95, "q4": 0.97, "q4f16": 0.97, "q4-mixed": 0.97}.get(precision, 0.999)
    assert report["loss"]["cosine"] > least
    assert report["loss"]["relative_error"] < math.sqrt(2 - 2 * least) + 0.05  # as far as the angle alone puts them
    ids = np.array([[1, 5, 95, 0]], np.int64)
    full, less = (onnxruntime.InferenceSession(file).run(None, {"input_ids": ids})[0] for file in (network, path))
    assert full.dtype == less.dtype
    assert float((full * less).sum() / np.linalg.norm(full) / np.linalg.norm(less)) > least - 0.05
    assert report["nbytes"] < network.stat().st_size * 0.8


def test_table_and_head_that_hold_the_same_are_stored_once(network: Path, out: Path) -> None:
    path, report = made(network, "q4", out)
    assert report["weights_by_bits"] == {"4": 96 * 64 + 64 * 64}
    assert operators(path)["MatMulNBits"] == 2
    names = [each.name for each in onnx.load(path).graph.initializer if each.name.endswith("_q4")]
    assert sorted(names) == ["first_q4", "table_q4"]


def test_mixed_precision_gives_some_layers_more_bits_within_its_budget(network: Path, out: Path) -> None:
    _, report = made(network, "q4-mixed", out)
    bits = {int(name): count for name, count in report["weights_by_bits"].items()}
    assert set(bits) == {4, 8} or set(bits) == {4}
    assert sum(bits.values()) == 96 * 64 + 64 * 64
    assert bits.get(8, 0) / 2 <= 0.25 * sum(bits.values()) / 2


@pytest.mark.parametrize("precision", ["q8", "q4"])
@pytest.mark.parametrize("opset", [11, 17, 21])
def test_filters_are_stored_in_few_bits_in_every_opset(write: Write, out: Path, precision: str, opset: int) -> None:
    nodes = [
        node("Conv", ["x", "wide"], ["a"], pads=[1, 1, 1, 1]),
        node("Conv", ["a", "deep"], ["b"], group=32, pads=[1, 1, 1, 1]),
        node("Conv", ["b", "flat"], ["y"]),
    ]
    path = write(
        nodes=nodes,
        inputs=[value("x", shape=("n", 24, 8, 8))],
        outputs=[value("y", shape=("n", 40, 8, 8))],
        initializers=[
            tensor("wide", matrix(32, 24, 3, 3)),
            tensor("deep", matrix(256 // 8, 1, 7, 7)),
            tensor("flat", matrix(40, 32, 1, 1)),
        ],
    )
    model = onnx.load(path)
    model.opset_import[0].version = opset
    onnx.save(model, path)
    file, report = made(path, precision, out)
    assert report["loss"]["cosine"] > {"q8": 0.9999, "q4": 0.98}[precision]
    deep = 32 * 7 * 7 * 4  # bytes of the filters of one channel each, which stay as they are
    assert report["nbytes"] - deep < (path.stat().st_size - deep) * (0.36 if precision == "q8" else 0.3)
    floats = {each.name for each in onnx.load(file).graph.initializer if each.data_type == TensorProto.FLOAT}
    assert "deep" in floats
    assert not {"wide", "flat"} & floats


def test_gemm_keeps_its_bias_and_its_layout(write: Write, out: Path) -> None:
    path = write(
        nodes=[node("Gemm", ["x", "w", "b"], ["h"], transB=1), node("Gemm", ["h", "v"], ["y"])],
        inputs=[value("x", shape=("n", 64))],
        outputs=[value("y", shape=("n", 48))],
        initializers=[tensor("w", matrix(80, 64)), tensor("b", matrix(80) * 30), tensor("v", matrix(80, 48))],
    )
    file, report = made(path, "q8", out)
    assert operators(file) == {"MatMulNBits": 2, "Add": 1}
    assert report["loss"]["cosine"] > 0.9999


def test_report_lies_beside_the_model_and_is_read_with_it(network: Path, out: Path) -> None:
    path, report = made(network, "q4", out)
    package = describe(path, "it")
    assert package.precision == "q4"
    assert package.quantized == json.loads((out / "webinfer.json").read_text())["quantized"][path.stem]
    assert package.quantized["loss"]["cosine"] == report["loss"]["cosine"]
    assert package.quantized["nbytes_before"] == network.stat().st_size


def test_inputs_that_are_given_are_learnt_from(network: Path, out: Path) -> None:
    given = [{"input_ids": np.full((1, 4), number, np.int64)} for number in range(6)]
    _, report = made(network, "q4", out, given=given)
    assert report["inputs"] == "inputs that were given"
    assert report["loss"]["runs"] == 2


# In a process of its own, into the cache


@pytest.fixture
def picky(write: Write) -> Callable[[int], Path]:
    """Write a model that runs only with columns in multiples of a number."""

    def make(columns: int) -> Path:
        return write(
            nodes=[node("Reshape", ["x", "shape"], ["a"]), node("MatMul", ["a", "w"], ["y"])],
            inputs=[value("x", shape=(1, "anything"))],
            outputs=[value("y", shape=("n", 64))],
            initializers=[tensor("shape", np.array([-1, columns])), tensor("w", matrix(columns, 64))],
        )

    return make


@pytest.mark.parametrize("columns", [32, 64, 96, 112, 576])
@pytest.mark.parametrize("precision", ["fp16", "q4"])
def test_sizes_that_a_model_takes_are_looked_for(
    picky: Callable[[int], Path], out: Path, columns: int, precision: str
) -> None:
    _, report = made(picky(columns), precision, out)
    assert report["loss"]["runs"] > 0
    assert report["loss"]["cosine"] > 0.95


def test_model_that_takes_nothing_made_up_takes_its_callers_inputs(
    picky: Callable[[int], Path], own_cache: Path
) -> None:
    package = resolve(picky(1013))
    half = quantize(package, "fp16")  # there is nothing to learn for that
    assert half.quantized["loss"] == {}
    assert "none of the inputs" in half.quantized["inputs"]
    with pytest.raises(NotQuantizable, match="--input NAME=FILE") as caught:
        quantize(package, "q4")
    assert caught.value.data["reason"] == "inputs"
    own = quantize(package, "q4", inputs=[{"x": matrix(1, 1013)}])
    assert own.quantized["loss"]["runs"] == 1
    assert obtain(package.model.path, precision="q4").sha256 == own.sha256  # later loads need no inputs


def test_model_is_made_once_and_then_found(network: Path, own_cache: Path) -> None:
    package = resolve(network)
    parts: list[float] = []
    first = quantize(package, "q4", progress=lambda step: parts.append(step.done / (step.total or 1)))
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    again = quantize(package, "q4", progress=lambda step: pytest.fail("it was made again"))
    assert again.sha256 == first.sha256 != package.sha256
    assert (first.precision, first.name, first.family) == ("q4", package.name, package.family)
    assert obtain(network, precision="q4").sha256 == first.sha256
    assert not list(own_cache.glob("quantized/.*.part"))


def test_file_of_another_name_with_the_same_contents_is_not_quantized_again(network: Path, own_cache: Path) -> None:
    first = quantize(resolve(network), "q4")
    copy = network.with_name("copy.onnx")
    copy.write_bytes(network.read_bytes())
    again = quantize(resolve(copy), "q4", progress=lambda step: pytest.fail("it was made again"))
    assert again.model.path == first.model.path
    assert (again.name, again.quantized) == ("copy", first.quantized)


def test_precision_that_the_author_ships_is_preferred(network: Path, own_cache: Path) -> None:
    shipped = network.with_name("model_q4.onnx")
    made_path, _ = made(network, "q8", network.parent / "elsewhere")
    shipped.write_bytes(made_path.read_bytes())
    assert obtain(network, precision="q4").model.path == shipped
    assert not (own_cache / "quantized").exists()


def test_work_that_is_given_up_leaves_nothing(network: Path, own_cache: Path) -> None:
    job = Job()
    failed: list[BaseException] = []

    def wait() -> None:
        try:
            quantize(resolve(network), "q4", job=job, progress=lambda step: job.cancel())
        except NotQuantizable as error:
            failed.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert [error.data["reason"] for error in failed if isinstance(error, NotQuantizable)] == ["cancelled"]
    assert [path.name for path in (own_cache / "quantized").iterdir() if path.is_dir()] == []


# What cannot be done, or not everywhere


def refused(path: Path, out: Path, precision: str = "q4") -> NotQuantizable:
    with pytest.raises(NotQuantizable) as caught:
        made(path, precision, out)
    return caught.value


def plain(write: Write, nodes: list[NodeProto] | None = None, weights: Any = None, **options: Any) -> Path:
    return write(
        nodes=nodes or [node("MatMul", ["x", "w"], ["y"])],
        inputs=[value("x", shape=("n", 64))],
        outputs=[value("y", shape=("n", 64))],
        initializers=[tensor("w", matrix(64, 64) if weights is None else weights)],
        **options,
    )


def rewritten(path: Path, **fields: int) -> Path:
    model = onnx.load(path)
    if "opset" in fields:
        model.opset_import[0].version = fields["opset"]
    if "ir" in fields:
        model.ir_version = fields["ir"]
    path.write_bytes(model.SerializeToString())
    return path


def test_custom_operators_are_named(write: Write, out: Path) -> None:
    path = plain(write, [node("MatMul", ["x", "w"], ["h"]), node("Swirl", ["h"], ["y"], domain="org.example")])
    with pytest.raises(UnsupportedOperator, match=r"org\.example\.Swirl"):
        made(path, "q4", out)


def test_quantized_model_is_not_quantized_again(write: Write, out: Path, tmp_path: Path) -> None:
    done, _ = made(plain(write), "q8", out)
    (tmp_path / "again").mkdir()
    assert refused(done, tmp_path / "again").data["reason"] == "quantized"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_named(write: Write, out: Path, bad: float) -> None:
    weights = matrix(64, 64)
    weights[3, 5] = bad
    error = refused(plain(write, weights=weights), out)
    assert (error.data["reason"], error.data["weight"], error.data["count"]) == ("not_finite", "w", 1)


def test_denormal_weights_are_no_trouble(write: Write, out: Path) -> None:
    weights = matrix(64, 64)
    weights[:, :32] = 1e-41
    _, report = made(plain(write, weights=weights), "q4", out)
    assert report["loss"]["finite"]
    assert report["loss"]["cosine"] > 0.98


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 18, 21, 23])
def test_opsets_from_7_on_are_quantized(network: Path, out: Path, opset: int) -> None:
    _, report = made(rewritten(network, opset=opset), "q4", out)
    assert report["loss"]["cosine"] > 0.97


def test_older_opset_is_refused(network: Path, out: Path) -> None:
    assert refused(rewritten(network, opset=6), out).data == {"reason": "opset", "opset": 6}


def test_version_of_the_format_that_is_newer_than_the_runtimes_is_refused(network: Path, out: Path) -> None:
    assert refused(rewritten(network, ir=99), out).data["reason"] == "runtime"


def test_old_files_that_list_weights_as_inputs_are_quantized(write: Write, out: Path) -> None:
    path = plain(write)
    model = onnx.load(path)
    model.graph.input.append(value("w", shape=(64, 64)))
    model.ir_version, model.opset_import[0].version = 3, 8
    path.write_bytes(model.SerializeToString())
    file, report = made(path, "q4", out)
    assert [given.name for given in onnx.load(file).graph.input] == ["x"]
    assert report["loss"]["cosine"] > 0.98


def test_weight_that_may_be_overridden_stays(write: Write, out: Path) -> None:
    path = write(
        nodes=[node("MatMul", ["x", "w"], ["h"]), node("MatMul", ["h", "v"], ["y"])],
        inputs=[value("x", shape=("n", 64)), value("w", shape=(64, 64))],
        outputs=[value("y", shape=("n", 64))],
        initializers=[tensor("w", matrix(64, 64)), tensor("v", matrix(64, 64))],
    )
    file, report = made(path, "q4", out)
    assert operators(file) == {"MatMul": 1, "MatMulNBits": 1}
    assert report["left"] == {"w": "it may be overridden by an input"}


def test_weights_of_branches_stay_and_are_named(write: Write, out: Path) -> None:
    def branch(name: str) -> Any:
        return helper.make_graph([node("MatMul", ["h", "v"], [name])], name, [], [value(name, shape=("n", 64))])

    path = write(
        nodes=[
            node("MatMul", ["x", "w"], ["h"]),
            node("If", ["so"], ["y"], then_branch=branch("yes"), else_branch=branch("no")),
        ],
        inputs=[value("x", shape=("n", 64)), value("so", TensorProto.BOOL, ())],
        outputs=[value("y", shape=("n", 64))],
        initializers=[tensor("w", matrix(64, 64)), tensor("v", matrix(64, 64))],
    )
    file, report = made(path, "q4", out)
    assert operators(file) == {"MatMulNBits": 1, "If": 1}
    assert report["left"] == {"v": "a subgraph takes it"}


def test_weight_that_is_used_twice_is_stored_once(write: Write, out: Path) -> None:
    file, report = made(plain(write, [node("MatMul", ["x", "w"], ["h"]), node("MatMul", ["h", "w"], ["y"])]), "q4", out)
    assert operators(file) == {"MatMulNBits": 2}
    assert report["weights_by_bits"] == {"4": 64 * 64}


def test_weight_that_is_used_in_another_way_too_stays(write: Write, out: Path) -> None:
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("MatMul", ["h", "v"], ["i"]), node("Add", ["i", "v"], ["y"])]
    path = write(
        nodes=nodes,
        inputs=[value("x", shape=(64, 64))],
        outputs=[value("y", shape=(64, 64))],
        initializers=[tensor("w", matrix(64, 64)), tensor("v", matrix(64, 64))],
    )
    _, report = made(path, "q4", out)
    assert report["left"] == {"v": "Add takes it as it is"}


def test_external_weights_are_read_from_where_they_are(write: Write, out: Path) -> None:
    path = plain(write, save_as_external_data=True, location="far.bin", size_threshold=0)
    file, report = made(path, "q4", out)
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    assert report["loss"]["cosine"] > 0.98


def test_model_of_more_than_two_gigabytes_is_quantized_without_being_read_whole(write: Write, out: Path) -> None:
    rows = (1 << 31) // 4 // 64 + 64
    path = plain(write)  # the large weight is no node's: the runtime would take half a minute to read it
    model = onnx.load(path)
    big = TensorProto(name="big", data_type=TensorProto.FLOAT, dims=[rows, 64], data_location=TensorProto.EXTERNAL)
    for key, said in (("location", "huge.bin"), ("offset", "0"), ("length", str(rows * 64 * 4))):
        big.external_data.add(key=key, value=said)
    model.graph.initializer.append(big)
    path.write_bytes(model.SerializeToString())
    with (path.parent / "huge.bin").open("wb") as file:
        file.truncate(rows * 64 * 4)  # sparse: it takes no room
    package = ModelPackage(**{**_fields(write("small.onnx")), "model": _file(path), "signature": _signature(path)})
    report = make(package, scheme_of("q4"), out, lambda part: None)
    made_path = next(out.glob("onnx/*.onnx"))
    assert made_path.stat().st_size < 100_000
    assert report["loss"]["cosine"] > 0.98
    assert (made_path.parent / "huge.bin").samefile(path.parent / "huge.bin")


def _fields(path: Path) -> dict[str, Any]:
    package = describe(path, "small")
    return {name: getattr(package, name) for name in package.__slots__}


def _file(path: Path) -> Any:
    from webinfer.models.files.package import ModelFile

    return ModelFile(path.name, path, path.stat().st_size, "0" * 64)


def _signature(path: Path) -> Any:
    from webinfer.models.files.signature import read

    return read(path).signature
