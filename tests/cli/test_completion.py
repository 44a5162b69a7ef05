"""What a shell is told when it asks for the rest of a model's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Call
from webinfer.cli.completion import as_bash_has_it, model_names


@pytest.fixture(autouse=True)
def models(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One model of the user's own, and no others in caches."""
    own = tmp_path / "models"
    own.mkdir()
    (own / "mine.onnx").write_bytes(b"")
    monkeypatch.setenv("WEBINFER_MODELS", str(own))


def test_names_of_every_source_are_proposed() -> None:
    assert {"mine", "random:bert-tiny", "wheel:all-MiniLM-L6-v2"} <= set(model_names(""))
    assert model_names("wheel:all") == ["wheel:all-MiniLM-L6-v2"]
    assert model_names("mi") == ["mine"]


def test_what_was_built_or_fetched_is_proposed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webinfer.api.services.references.here", lambda references: {"hf:org/name": Path("here")})
    assert model_names("hf:o") == ["hf:org/name"]


def test_the_last_of_several_names_is_completed() -> None:
    assert model_names("mine,random:bert-t") == ["mine,random:bert-tiny"]


@pytest.mark.parametrize("path", ["./models/x", "/", "~/m", "../"])
def test_paths_are_left_to_the_shell(path: str) -> None:
    assert model_names(path) == []


@pytest.mark.parametrize(
    ("words", "at", "joined", "told"),
    [
        ("webinfer\nrun\nwheel\n:\nall", "4", ("webinfer run wheel:all", "2"), "all-rest\n"),
        ("webinfer\nrun\nwheel\n:", "3", ("webinfer run wheel:", "2"), "all-rest\n"),
        ("webinfer\nrun\nwheel:al", "2", ("webinfer run wheel:al", "2"), "wheel:all-rest\n"),
        ("webinfer\nrun\nwhe", "2", ("webinfer run whe", "2"), "wheel:all-rest\n"),
        ("webinfer\nrun\n", "2", ("webinfer run", "2"), "wheel:all-rest\n"),
        ("webinfer\nrun\nwheel\n:\nall\n--text\n", "6", ("webinfer run wheel:all --text", "4"), "wheel:all-rest\n"),
    ],
)
def test_words_that_bash_took_apart_are_put_together_and_what_it_keeps_is_left_out(
    capsys: pytest.CaptureFixture[str], words: str, at: str, joined: tuple[str, str], told: str
) -> None:
    environment = {"_WEBINFER_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": at}
    with as_bash_has_it(environment):
        print("wheel:all-rest")
    assert (environment["COMP_WORDS"], environment["COMP_CWORD"]) == joined
    assert capsys.readouterr().out == told


@pytest.mark.parametrize("command", ["run", "explain", "pull", "quantize", "bench --model"])
def test_commands_that_take_a_model_complete_its_name(spawn: Call, command: str) -> None:
    words = "\n".join(["webinfer", *command.split(), "wheel", ":", "all"])
    at = str(words.count("\n"))
    answer = spawn(_WEBINFER_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=at)
    assert (answer.code, answer.out) == (0, "all-MiniLM-L6-v2\n")
