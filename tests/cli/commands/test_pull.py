from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.hub_server import COMMIT, HubServer


@pytest.fixture
def hub(probe: str) -> HubServer:
    server = HubServer()
    server.add("org/probe", {"onnx/model.onnx": Path(probe), "onnx/model_q4.onnx": Path(probe), "config.json": "{}"})
    return server


def test_pulling_prints_the_path_and_where_it_came_from(spawn: Call, hub: HubServer, tmp_path: Path) -> None:
    with hub:
        answer = spawn("pull", "org/probe", **hub.environment(tmp_path / "home"))
        again = spawn("pull", "org/probe", "--json", **hub.environment(tmp_path / "home"))
    assert answer.code == 0, answer.err
    path = Path(answer.out.strip())
    assert path.is_relative_to(tmp_path / "home" / "hub")
    assert path.name == "model.onnx"
    assert "==> fetch org/probe" in answer.err
    assert f"from hf:org/probe@{COMMIT}" in answer.err.replace("\n", "")
    told = again.object
    assert (told["ready"], told["path"], told["origin"]) == (True, str(path), f"hf:org/probe@{COMMIT}")
    assert told["available"] == ["fp32", "q4"]
    assert "fetch" not in again.err


def test_pulling_a_precision_takes_its_file(spawn: Call, hub: HubServer, tmp_path: Path) -> None:
    with hub:
        answer = spawn("pull", "hf:org/probe", "--precision", "q4", **hub.environment(tmp_path / "home"))
    assert Path(answer.out.strip()).name == "model_q4.onnx"


def test_pulled_models_are_listed(
    call: Call, hub: HubServer, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub:
        hub.use(monkeypatch, tmp_path / "home")
        call("pull", "org/probe")
        entries = {model["reference"]: model for model in call("models", "--json").object["models"]}
    assert entries["hf:org/probe"]["ready"] is True
    assert "hf:org/probe" in call("models").out


def test_pulling_what_is_not_there_is_an_error_of_ours(spawn: Call, hub: HubServer, tmp_path: Path) -> None:
    with hub:
        answer = spawn("pull", "org/none", "--json", **hub.environment(tmp_path / "home"))
    assert (answer.code, answer.object["error"]["code"]) == (1, "model.not_found")


def test_pulling_offline_says_so(spawn: Call) -> None:
    answer = spawn("pull", "org/name", HF_HUB_OFFLINE="1")
    assert (answer.code, answer.err.splitlines()[0]) == (1, "error: model.fetch")


def test_pulling_an_unknown_precision_is_a_wrong_command_line(call: Call) -> None:
    assert call("pull", "org/name", "--precision", "q5").code == 2
