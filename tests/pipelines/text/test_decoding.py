"""Tokens become text as soon as a character is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.models.sources.resolve import resolve
from webinfer.pipelines.text.decoding import TextStreamer


@pytest.fixture
def tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tokenizer:
    """A tokenizer whose tokens are bytes."""
    monkeypatch.setenv("WEBINFER_CACHE", str(tmp_path))
    path = resolve("random:gpt2-tiny").tokenizer
    assert path is not None
    return Tokenizer(path)


def test_a_character_comes_when_its_last_byte_does(tokenizer: Tokenizer) -> None:
    pieces = TextStreamer(tokenizer)
    said = [pieces.add(int(token)) for token in tokenizer.encode("aß模.")["input_ids"][0]]
    assert said == ["a", "", "ß", "", "", "模", "."]
    assert pieces.rest() == ""


def test_a_broken_character_is_told_at_the_end(tokenizer: Tokenizer) -> None:
    pieces = TextStreamer(tokenizer)
    assert [pieces.add(int(token)) for token in tokenizer.encode("a模")["input_ids"][0][:3]] == ["a", "", ""]
    assert set(pieces.rest()) == {"\N{REPLACEMENT CHARACTER}"}
