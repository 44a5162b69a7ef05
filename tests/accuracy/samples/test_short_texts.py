"""Texts of few tokens, whose masks hide some of them."""

from __future__ import annotations

from onnx import TensorProto

from tests.modelfiles import Write, value
from webinfer.accuracy.samples.short_texts import LENGTH, short_texts, takes_texts
from webinfer.models.files.package import describe


def test_texts_are_short_different_and_hide_tokens_at_either_end(write: Write) -> None:
    inputs = [value(name, TensorProto.INT64, ("batch", "seq")) for name in ("input_ids", "attention_mask")]
    path = write(inputs=inputs, outputs=[value("y", shape=("batch", 1))])
    package = describe(path, str(path))
    assert takes_texts(package)
    texts = short_texts(package)
    assert {text["input_ids"].shape for text in texts} == {(1, LENGTH)}
    assert len({text["input_ids"].tobytes() for text in texts}) == len(texts)
    assert {tuple(text["attention_mask"][0].tolist()) for text in texts} == {(1, 1), (1, 0), (0, 1)}
    assert short_texts(package, 5)[0]["input_ids"].shape == (1, 5)


def test_model_without_a_mask_takes_no_texts(write: Write) -> None:
    path = write(inputs=[value("input_ids", TensorProto.INT64, ("batch", "seq"))], outputs=[value("y")])
    assert not takes_texts(describe(path, str(path)))
