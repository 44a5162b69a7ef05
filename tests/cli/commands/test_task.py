"""``webinfer run --task`` answers as the pipeline does, for programs and for people."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import webinfer
from tests.cli.conftest import Call
from tests.models.zoo.test_encoders import CONFIG, loud
from tests.pipelines.small import classifier, masked, tokenizer
from tests.recordings import BECKETT, recording
from webinfer.models.zoo.architectures.text.bert import bert


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("--task", "text-clasification", "a"), 2, "Did you mean 'text-classification'"),
        (("--task", "fill-mask"), 1, "There are no inputs"),
        (("--task", "fill-mask", "a", "--embed"), 2, "it takes text, paths"),
        (("--task", "fill-mask", "a", "--json-input", "x.json"), 2, "either text or --json-input"),
        (("--task", "fill-mask", "a", "--set", "top_k"), 2, "has no name"),
        (("a", "--set", "top_k=3"), 2, "parameters of a --task"),
    ],
)
def test_wrong_use_is_said(call: Call, probe: str, arguments: tuple[str, ...], code: int, complaint: str) -> None:
    answer = call("run", probe, *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert complaint in " ".join(answer.err.split())


def test_recording_that_is_not_there_is_said(call: Call) -> None:
    answer = call("run", "--task", "automatic-speech-recognition", "nowhere.wav")
    assert (answer.code, answer.out) == (1, "")
    assert "There is no file 'nowhere.wav'" in " ".join(answer.err.split())


@pytest.mark.browser("embedded")
def test_answer_is_the_pipelines(call: Call, embedded: str, tmp_path: Path) -> None:
    path = str(classifier(tmp_path / "classifier"))
    with webinfer.pipeline("text-classification", path, browser="embedded", platform="wasm") as classify:
        expected = classify(["a good film", "bad"], top_k=2)
    said = ("run", path, "--task", "text-classification", "a good film", "bad", "--set", "top_k=2")
    told = call(*said, "-b", embedded, "-p", "wasm", "-n", "2", "-q", "--json").object
    assert told["answer"] == [
        [{"label": each["label"], "score": pytest.approx(each["score"])} for each in answer] for answer in expected
    ]
    assert (told["task"], told["backend"], len(told["runs"]["all"])) == ("text-classification", "wasm", 2)
    text = " ".join(call(*said, "-b", embedded, "-p", "wasm", "-q").out.split())
    assert "a good film score label" in text
    assert f"{expected[0][0]['score']:.4f}" in text
    assert "WebAssembly, as asked" in text


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    """A BERT that is wide enough to be quantized, with a tokenizer."""
    config = CONFIG | {"hidden_size": 96, "intermediate_size": 96, "num_hidden_layers": 1}
    bert(config).save(tmp_path / "model.onnx", loud)
    (tmp_path / "config.json").write_text(json.dumps(config))
    tokenizer(tmp_path)
    return str(tmp_path)


@pytest.mark.browser("embedded")
@pytest.mark.parametrize("task", [(), ("--task", "feature-extraction")], ids=["outputs", "task"])
def test_of_several_precisions_the_next_is_taken_where_the_first_cannot_be_run(
    call: Call, embedded: str, encoder: str, task: tuple[str, ...]
) -> None:
    told = call(
        *(
            "run",
            encoder,
            "a good film",
            *task,
            "--precision",
            "int8,fp32",
            "-b",
            embedded,
            "-p",
            "webnn",
            "-q",
            "--json",
        )
    ).object
    assert (told["precision"], told["backend"]) == ("fp32", "webnn")
    assert "answers wrongly" in told["reason"]


def test_precision_that_is_none_is_refused_with_those_that_are(call: Call, probe: str) -> None:
    answer = call("run", probe, "--input", "x=[1, 1, 1, 1]", "--precision", "q8,q5")
    assert answer.code == 2
    assert "precision must be one of" in " ".join(answer.err.split())


@pytest.mark.browser("embedded")
def test_forms_of_answers_can_be_read(call: Call, embedded: str, tmp_path: Path) -> None:
    path = str(masked(tmp_path / "masked"))
    gap = call("run", path, "--task", "fill-mask", "[MASK] film [MASK]", "-b", embedded, "-p", "wasm", "-q")
    assert gap.code == 0
    assert gap.out.count("token_str") == 2
    minilm = ("run", "wheel:all-MiniLM-L6-v2", "-b", embedded, "-q")
    alike = call(*minilm, "--task", "sentence-similarity", "A cat sat.", "A kitten sat down.", "Oil prices rose.")
    assert "Compared with: A cat sat." in alike.out
    rows = [line.split() for line in alike.out.splitlines() if "kitten" in line or "Oil" in line]
    assert float(rows[0][0]) > 0.5 > float(rows[1][0])
    vectors = call(*minilm, "--task", "feature-extraction", "A cat sat.", "--set", "pooling=mean", "--json").object
    assert np.shape(vectors["answer"]) == (1, 384)


@pytest.mark.slow
@pytest.mark.browser("embedded")
def test_a_recording_alone_is_written_down(call: Call, embedded: str, tmp_path: Path) -> None:
    said = ("run", "--task", "automatic-speech-recognition", str(recording(BECKETT)), "-b", embedded, "-q")
    told = call(*said, "--set", "return_timestamps=true", "--json").object
    assert told["answer"]["text"].startswith(" Ever tried, ever failed.")
    assert told["answer"]["chunks"][0]["text"] in told["answer"]["text"]
    (tmp_path / "notes.txt").write_text("This is no recording.")
    refused = call(*said[:3], str(tmp_path / "notes.txt"), "-b", embedded, "-q")
    assert refused.code == 1
    assert "notes.txtisnoaudiothatcanberead" in "".join(refused.err.split())  # lines break where the path is long


@pytest.mark.browser("embedded")
def test_text_is_shown_as_it_is_written(call: Call, embedded: str) -> None:
    said = (
        "run",
        "random:gpt2-tiny",
        "--task",
        "text-generation",
        "Hello",
        "--set",
        "max_new_tokens=3",
        "-b",
        embedded,
    )
    told = call(*said, "-q", "--json").object
    shown = call(*said, "-q").out
    assert "Hello" + told["answer"][0]["generated_text"].removeprefix("Hello") in shown
    assert "text-generation  gpt2-tiny, random weights" in shown
    assert told["backend"] == "wasm"
