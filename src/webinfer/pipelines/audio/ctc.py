"""Connectionist temporal classification (Graves et al., ICML 2006): a letter or a blank for each frame, made text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from webinfer.core.errors import InvalidModel


@dataclass(frozen=True, slots=True)
class CtcVocabulary:
    """The letters of a CTC model.

    Attributes:
        characters: Text of each id.
        blank: Id of the blank.
        space: Text of the token between words.
    """

    characters: dict[int, str]
    blank: int
    space: str

    @classmethod
    def read(cls, path: Path) -> CtcVocabulary:
        """Read a ``tokenizer.json``.

        Args:
            path: The file.

        Returns:
            The text of each id, the id of the blank, and the text of the token between words.

        Raises:
            InvalidModel: The file has no vocabulary of letters with a blank.
        """
        try:
            settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            added = {token["content"]: token["id"] for token in settings["added_tokens"]}
            vocabulary = {**settings["model"]["vocab"], **added}
            decoder = settings.get("decoder") or {}
            blank, space = decoder.get("pad_token", "<pad>"), decoder.get("word_delimiter_token", "|")
            return cls({int(number): text for text, number in vocabulary.items()}, int(vocabulary[blank]), space)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidModel(f"{path} has no vocabulary of letters with a blank: {error}.", path=str(path)) from error

    def collapse(self, frames: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return the characters of some frames. Equal ids in a row are one character; blanks are none.

        Args:
            frames: The likeliest id of each frame.

        Returns:
            Each character with its first frame and the frame after its last.
        """
        characters, at = [], 0
        for number, group in groupby(frames):
            count = len(list(group))
            if number != self.blank:
                characters.append((self.characters.get(number, ""), at, at + count))
            at += count
        return [(" " if text == self.space else text, start, end) for text, start, end in characters if text]

    def words(self, characters: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
        """Join characters to words.

        Args:
            characters: Each character with its first frame and the frame after its last.

        Returns:
            Each word with its first frame and the frame after its last.
        """
        groups = groupby(characters, key=lambda character: character[0] == " ")
        words = [list(group) for spaces, group in groups if not spaces]
        return [("".join(text for text, _, _ in word), word[0][1], word[-1][2]) for word in words]
