"""Frames become letters and words, and files without letters are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from webinfer.core.errors import InvalidModel
from webinfer.pipelines.audio.ctc import CtcVocabulary


def test_letters_are_spelled_without_blanks_and_repetitions(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    vocabulary = {"<pad>": 0, "|": 1, "A": 2, "B": 3}
    path.write_text(json.dumps({"added_tokens": [{"content": "C", "id": 4}], "model": {"vocab": vocabulary}}))
    letters = CtcVocabulary.read(path)
    characters = letters.collapse([0, 2, 2, 0, 2, 3, 1, 1, 0, 1, 4, 0])
    assert characters == [("A", 1, 3), ("A", 4, 5), ("B", 5, 6), (" ", 6, 8), (" ", 9, 10), ("C", 10, 11)]
    assert letters.words(characters) == [("AAB", 1, 6), ("C", 10, 11)]
    assert letters.words(letters.collapse([1, 0, 0])) == []


@pytest.mark.parametrize("contents", ["", "[]", "{}", '{"model": {"vocab": ["A"]}, "added_tokens": []}'])
def test_files_without_letters_are_refused(tmp_path: Path, contents: str) -> None:
    (tmp_path / "tokenizer.json").write_text(contents)
    with pytest.raises(InvalidModel, match=r"tokenizer\.json has no vocabulary of letters"):
        CtcVocabulary.read(tmp_path / "tokenizer.json")
