"""``webinfer tune``: a contest from the command line."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import helper

from tests.cli.conftest import Call
from webinfer.cli.commands.benchmarks.tune import with_browsers
from webinfer.core.errors import OptionError
from webinfer.core.options import Options


@pytest.fixture
def doubler(tmp_path: Path) -> str:
    """The path of a model that doubles four numbers."""
    x, y = (helper.make_tensor_value_info(name, 1, ["batch", 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubler", [x], [y])
    path = tmp_path / "doubler.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return str(path)


@pytest.mark.browser("embedded")
def test_tune_shows_the_winner_its_lead_and_the_standings(spawn: Call, embedded: str, doubler: str) -> None:
    answer = spawn(
        *("tune", doubler, "--browser", embedded, "--platform", "webnn,wasm", "--budget", "20"),
        *("--input", "x=[[1, 2, 3, 4]]"),
    )
    assert answer.code == 0, answer.err
    assert "doubler: " in answer.out
    assert "ms per item" in answer.out
    assert "it won" in answer.out
    assert "webnn in embedded, fp32" in answer.out
    assert "wasm in embedded, fp32" in answer.out
    assert "==> open webnn in embedded, fp32 (0 of 20 s, 2 of 2 candidates left)" in answer.err


@pytest.mark.browser("embedded")
def test_tune_prints_one_json_object(spawn: Call, embedded: str, doubler: str) -> None:
    answer = spawn("tune", doubler, "-b", embedded, "-p", "wasm", "--budget", "15", "--json", "--quiet")
    assert answer.code == 0, answer.err
    assert answer.object["winner"]["backend"] == "wasm"
    assert answer.object["runner_up"] is None
    assert answer.object["standings"][0]["rounds"] >= 1
    assert answer.err == ""


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--lanes", "two"), "--lanes takes whole numbers, not 'two'"),
        (("--batch", "auto"), "--batch takes whole numbers, not 'auto'"),
        (("--browser", "netscape"), "browser must be one of"),
        (("--platform", "cuda"), "--platform takes webgpu, webnn, wasm or all, not 'cuda'"),
    ],
)
def test_tune_refuses_what_cannot_be(call: Call, flags: tuple[str, str], words: str) -> None:
    answer = call("tune", "random:bert-tiny", *flags)
    assert answer.code == 2
    assert words in " ".join(answer.err.split())
    assert "load" not in answer.err  # nothing was fetched or started for it


def test_several_browsers_are_used_side_by_side() -> None:
    assert with_browsers(Options(), ()) == Options()
    assert with_browsers(Options(), ("firefox",)).browser == "firefox"
    assert with_browsers(Options(), ("embedded", "firefox")).browsers == ("embedded", "firefox")
    assert with_browsers(Options(), ("all",)).browsers == ("all",)
    with pytest.raises(OptionError):
        with_browsers(Options(executable=Path("/chrome")), ("embedded", "firefox"))
