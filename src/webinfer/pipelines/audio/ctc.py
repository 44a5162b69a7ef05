"""Connectionist temporal classification (Graves et al., ICML 2006): a letter or a blank for each frame, to text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from webinfer.core.errors import InvalidModel


@dataclass(frozen=True, slots=True)
class Letters:
    """A model's vocabulary.

    Attributes:
        characters: By id.
        blank: Id of the blank.
        space: What stands between words.
    """

    characters: dict[int, str]
    blank: int
    space: str

    @classmethod
    def read(cls, path: Path) -> Letters:
        """Read a ``tokenizer.json``.

        Args:
            path: The file.

        Returns:
            The letters.

        Raises:
            InvalidModel: It is no vocabulary of letters with a blank.
        """
        try:
            stated: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            vocabulary = {**stated["model"]["vocab"], **{it["content"]: it["id"] for it in stated["added_tokens"]}}
            decoder = stated.get("decoder") or {}
            blank, space = decoder.get("pad_token", "<pad>"), decoder.get("word_delimiter_token", "|")
            return cls({int(number): text for text, number in vocabulary.items()}, int(vocabulary[blank]), space)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidModel(f"{path} has no vocabulary of letters with a blank: {error}.", path=str(path)) from error

    def spell(self, frames: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return the characters that frames stand for: equal ones in a row are one, and blanks are none.

        Args:
            frames: The likeliest id of each frame.

        Returns:
            Each character with its first frame and the one after its last.
        """
        spelled, at = [], 0
        for number, group in groupby(frames):
            count = len(list(group))
            if number != self.blank:
                spelled.append((self.characters.get(number, ""), at, at + count))
            at += count
        return [(" " if text == self.space else text, start, end) for text, start, end in spelled if text]

    def words(self, spelled: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
        """Put characters together to words, each with its first frame and the one after its last.

        Args:
            spelled: Characters, each with its first frame and the one after its last.

        Returns:
            Words, with their frames likewise.
        """
        groups = groupby(spelled, key=lambda character: character[0] == " ")
        words = [list(group) for spaces, group in groups if not spaces]
        return [("".join(text for text, _, _ in word), word[0][1], word[-1][2]) for word in words]
