"""The first wrong node is found, and the files that are written show it by themselves."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from playwright.sync_api import sync_playwright

from webinfer import Accelerator
from webinfer.accuracy.comparison import limits_for
from webinfer.accuracy.locate.excerpt import Arrays
from webinfer.accuracy.locate.location import worst
from webinfer.accuracy.locate.locator import Locator, Run
from webinfer.api.services.locate import locate
from webinfer.browsers.discovery.find import find
from webinfer.browsers.discovery.headless_shell import library_path
from webinfer.core.errors import BrowserNotFound, RunFailed
from webinfer.models.sources.resolve import resolve

RANDOM = np.random.default_rng(0)
RUNTIME = Path("web/node_modules/onnxruntime-web/dist").resolve()
PICTURE = {"x": RANDOM.standard_normal((1, 3, 8, 8)).astype(np.float32)}


def _save(path: Path, nodes: list[NodeProto], x: list[Any], y: list[Any] | None, **weights: NDArray[Any]) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def _normal(*shape: int) -> NDArray[np.float32]:
    return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.fixture
def resizing(tmp_path: Path) -> Path:
    """A model that enlarges a picture between other nodes, in a way that WebNN gets wrong."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node(
            "Resize", ["r", "", "s"], ["z"], "enlarge", mode="linear", coordinate_transformation_mode="align_corners"
        ),
        helper.make_node("Mul", ["z", "k"], ["m"]),
        helper.make_node("Sigmoid", ["m"], ["y"]),
    ]
    weights = {"w": _normal(4, 3, 3, 3), "s": np.array([1, 1, 2, 2], np.float32), "k": np.array(0.3, np.float32)}
    return _save(tmp_path / "resizing.onnx", nodes, ["b", 3, "h", "w"], ["b", 4, "H", "W"], **weights)


@pytest.fixture
def recurrent(tmp_path: Path) -> Path:
    """A GRU as torch exports it."""
    nodes = [
        helper.make_node("GRU", ["x", "W", "R", "B"], ["", "h"], "gru", hidden_size=4, linear_before_reset=1),
        helper.make_node("Squeeze", ["h", "a"], ["q"]),
        helper.make_node("MatMul", ["q", "M"], ["y"]),
    ]
    weights = {"W": _normal(1, 12, 3), "R": _normal(1, 12, 4), "B": _normal(1, 24), "M": _normal(4, 5)}
    return _save(tmp_path / "gru.onnx", nodes, ["t", 1, 3], None, a=np.array([0]), **weights)


@pytest.fixture(scope="module")
def accelerator() -> Iterator[Accelerator]:
    try:
        find("embedded")
    except BrowserNotFound as error:
        pytest.skip(str(error))
    with Accelerator(browser="embedded", accuracy="off", optimize_graphs=False) as accelerator:
        yield accelerator


@pytest.mark.browser("embedded")
def test_wrong_node_is_found_and_its_excerpt_shows_it(accelerator: Accelerator, resizing: Path, tmp_path: Path) -> None:
    fault = locate(accelerator, resolve(resizing), "webnn", tmp_path / "out", PICTURE)
    assert fault is not None
    place = fault.location
    assert (place.node, place.operator, place.number, place.nodes) == ("enlarge", "Resize", 2, 5)
    assert place.attributes["coordinate_transformation_mode"] == "align_corners"
    assert place.excerpt_nodes == 1
    assert place.difference is not None
    assert abs(place.difference.native - place.difference.browser) > 0.1
    excerpt = onnx.load(fault.model)
    onnx.checker.check_model(excerpt)
    assert [node.op_type for node in excerpt.graph.node] == ["Resize"]
    pinned = json.loads(Path("web/package.json").read_text())["devDependencies"]["onnxruntime-web"]
    assert f"onnxruntime-web@{pinned}/" in fault.page.read_text()
    assert f'"limit": {limits_for("fp32").error}' in fault.page.read_text()  # as the search has it
    with np.load(fault.arrays) as arrays:
        inputs = {name.removeprefix("input:"): arrays[name] for name in arrays if name.startswith("input:")}
        right = onnxruntime.InferenceSession(fault.model).run(["z"], inputs)[0]
        np.testing.assert_array_equal(right, arrays["output:z"])
    with accelerator.load(fault.model, platform="webnn") as model:
        assert worst(model.run(inputs).outputs, {"z": right}, limits_for("fp32")) is not None


@pytest.mark.browser("embedded")
def test_gru_is_found_and_right_backends_have_no_fault(
    accelerator: Accelerator, recurrent: Path, resizing: Path, tmp_path: Path
) -> None:
    fault = locate(accelerator, resolve(recurrent), "webnn", tmp_path / "out", {"x": _normal(6, 1, 3)})
    assert fault is not None
    assert (fault.location.operator, fault.location.number) == ("GRU", 0)
    assert locate(accelerator, resolve(recurrent), "wasm", tmp_path / "out", {"x": _normal(6, 1, 3)}) is None
    assert locate(accelerator, resolve(resizing), "wasm", tmp_path / "out") is None


@pytest.mark.browser("embedded")
def test_page_shows_the_fault_with_nothing_but_the_runtime(
    accelerator: Accelerator, resizing: Path, tmp_path: Path
) -> None:
    fault = locate(accelerator, resolve(resizing), "webnn", tmp_path / "out", PICTURE)
    assert fault is not None
    (fault.page.parent / "ort").symlink_to(RUNTIME)
    handler = partial(_Quiet, directory=str(fault.page.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/{fault.page.name}?ort=/ort/ort.jspi.bundle.min.mjs"
    found = find("embedded")
    env: Any = {"LD_LIBRARY_PATH": library_path(found.libraries, {})} if found.libraries else None
    flags = ["--no-sandbox", "--headless=shell", "--enable-features=WebMachineLearningNeuralNetwork"]
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(found.executable), args=flags, env=env)
            page = browser.new_page()
            page.goto(address)
            page.wait_for_selector("html[data-done]", timeout=60_000)
            verdict = page.inner_text("#verdict")
            facts = page.inner_text("table")
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
    place = fault.location.difference
    assert place is not None
    assert verdict == f"Wrong: {place.wrong} values differ."
    assert "align_corners" in facts
    assert "enlarge" in facts


@pytest.mark.parametrize("wrong", [0, 5, 6, 38, 39])
@pytest.mark.parametrize("how", ["values", "fails"])
def test_every_place_is_found(tmp_path: Path, wrong: int, how: str) -> None:
    """A chain of forty nodes, one of which a stand-in for the browser computes wrongly or fails at."""
    nodes = [
        helper.make_node("Neg", [f"v{at}" if at else "x"], ["y" if at == 39 else f"v{at + 1}"], f"n{at}")
        for at in range(40)
    ]
    path = _save(tmp_path / "chain.onnx", nodes, [2], [2])

    def run(part: Path, arrays: Arrays) -> dict[str, NDArray[Any]]:
        model = onnx.load(part)
        for node in model.graph.node:
            if node.name == f"n{wrong}":
                if how == "fails":
                    raise RunFailed("The model failed at Neg.")
                node.op_type = "Abs"
        session = onnxruntime.InferenceSession(model.SerializeToString())
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(arrays)), strict=True))

    inputs = {"x": np.array([1, -2], np.float32)}
    location = Locator(resolve(path), inputs, run, limits_for("fp32"), tmp_path / "parts").locate()
    assert location is not None
    assert (location.node, location.number, location.excerpt_nodes) == (f"n{wrong}", wrong, 1)
    assert (location.difference is None) == (how == "fails")
    assert location.runs <= 16


def test_failure_off_the_path_of_other_values_is_found(tmp_path: Path) -> None:
    """Of two values compared in one run, only the earlier one makes the browser fail."""
    nodes = [helper.make_node("Neg", ["x"], [f"v{at}"], f"n{at}") for at in range(2)]
    nodes.append(helper.make_node("Add", ["v0", "v1"], ["y"], "sum"))
    path = _save(tmp_path / "branches.onnx", nodes, [2], [2])

    def run(part: Path, arrays: Arrays) -> dict[str, NDArray[Any]]:
        model = onnx.load(part)
        if any(node.name == "n0" for node in model.graph.node):
            raise RunFailed("The model failed at Neg.")
        session = onnxruntime.InferenceSession(model.SerializeToString())
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(arrays)), strict=True))

    inputs = {"x": np.array([1, -2], np.float32)}
    location = Locator(resolve(path), inputs, run, limits_for("fp32"), tmp_path / "parts").locate()
    assert location is not None
    assert (location.node, location.fault, location.excerpt_nodes) == ("n0", "The model failed at Neg.", 1)


def _branches(path: Path) -> Path:
    """Two branches that meet: a short one first, then a long one; and one that is an output by itself."""
    short = [helper.make_node("Neg", [f"a{at}" if at else "x"], [f"a{at + 1}"], f"a{at}") for at in range(2)]
    side = [helper.make_node("Neg", ["a1"], ["z"], "side")]
    long = [helper.make_node("Neg", [f"b{at}" if at else "x"], [f"b{at + 1}"], f"b{at}") for at in range(40)]
    nodes = [*short, *side, *long, helper.make_node("Concat", ["a2", "b40"], ["y"], "join", axis=0)]
    saved = _save(path, nodes, [2], [4])
    model = onnx.load(saved)
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [2]))
    onnx.save(model, saved)
    return saved


def _broken(wrong: str, how: str) -> Run:
    """Return a stand-in for the browser that computes a node wrongly, or fails at it."""

    def run(part: Path, arrays: Arrays) -> dict[str, NDArray[Any]]:
        model = onnx.load(part)
        for node in model.graph.node:
            if node.name == wrong:
                if how == "fails":
                    raise RunFailed("The model failed at a node.")
                output, node.output[0] = node.output[0], "before"
                model.graph.node.append(helper.make_node("Mul", ["before", "two"], [output]))
                model.graph.initializer.append(numpy_helper.from_array(np.array(2, np.float32), "two"))
                break
        session = onnxruntime.InferenceSession(_sorted(model).SerializeToString())
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(arrays)), strict=True))

    return run


def _sorted(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose nodes follow what they take."""
    waiting, known = list(model.graph.node), {value.name for value in [*model.graph.input, *model.graph.initializer]}
    del model.graph.node[:]
    while waiting:
        node = next(node for node in waiting if known.issuperset(filter(None, node.input)))
        waiting.remove(node)
        known.update(node.output)
        model.graph.node.append(node)
    return model


@pytest.mark.parametrize("wrong", ["a0", "a1", "side", "b0", "b39", "join"])
@pytest.mark.parametrize("how", ["values", "fails"])
def test_fault_in_a_branch_is_found_there(tmp_path: Path, wrong: str, how: str) -> None:
    path = _branches(tmp_path / "branches.onnx")
    inputs = {"x": np.array([1, -2], np.float32)}
    location = Locator(resolve(path), inputs, _broken(wrong, how), limits_for("fp32"), tmp_path / "parts").locate()
    assert location is not None
    assert (location.node, location.excerpt_nodes) == (wrong, 1)


@pytest.mark.parametrize("external", [None, "weights", "sub folder/w.bin"])
def test_weights_of_a_fault_are_inside_its_file(tmp_path: Path, external: str | None) -> None:
    weights = {"w": _normal(64, 64), "v": _normal(64, 64)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], "/one"),
        helper.make_node("MatMul", ["m", "v"], ["y"], "/two"),
    ]
    path = _save(tmp_path / "m.onnx", nodes, [1, 64], [1, 64], **weights)
    if external:
        (tmp_path / external).parent.mkdir(exist_ok=True)
        onnx.save(onnx.load(path), path, save_as_external_data=True, location=external, size_threshold=0)
    run = _broken("/two", "values")

    def load(part: Path, arrays: Arrays) -> Any:
        return run(_whole(part, weights), arrays)

    locator = Locator(resolve(path), {"x": _normal(1, 64)}, load, limits_for("fp32"), tmp_path / "parts")
    location = locator.locate()
    assert location is not None
    assert location.node == "/two"
    (alone := tmp_path / "alone").mkdir()
    file = shutil.copy(location.excerpt, alone)
    answer = onnxruntime.InferenceSession(file).run(["y"], dict(location.inputs))[0]
    np.testing.assert_allclose(answer, location.outputs["y"], rtol=1e-4)


def _whole(part: Path, weights: dict[str, NDArray[Any]]) -> Path:
    """Return a part with its weights inside, which onnx does not read from files that are linked."""
    model = onnx.load(part, load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    onnx.save(model, part)
    return part


@pytest.mark.parametrize("wrong", ["split", "take", "neg"])
def test_fault_behind_a_sequence_is_found(tmp_path: Path, wrong: str) -> None:
    """A sequence is no tensor, so that the excerpt of what takes one begins before it."""
    nodes = [
        helper.make_node("Neg", ["x"], ["n"], "neg"),
        helper.make_node("SplitToSequence", ["n"], ["q"], "split"),
        helper.make_node("SequenceAt", ["q", "i"], ["y"], "take"),
    ]
    path = _save(tmp_path / "m.onnx", nodes, [2], None, i=np.array(1))
    inputs = {"x": np.array([1, -2], np.float32)}
    locator = Locator(resolve(path), inputs, _broken(wrong, "fails"), limits_for("fp32"), tmp_path / "parts")
    location = locator.locate()
    assert location is not None
    assert location.node == {"split": "take"}.get(wrong, wrong)
    assert location.excerpt_nodes == (1 if wrong == "neg" else 2)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass
