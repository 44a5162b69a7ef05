"""Whisper's decoding: which tokens it starts with, which it may say next, and the loop that makes it speak."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import OptionError
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.pipelines.audio.transcript import Segment

Logits = NDArray[np.float64]
Step = Callable[[Sequence[int]], Awaitable[NDArray[Any]]]
"""Takes the next tokens; returns the logits after the last of them, of shape (vocabulary,)."""

SECONDS = 0.02  # from one timestamp token to the next (arXiv:2212.04356, section 2.3)
_ENGLISH = 51_865  # below this size of the vocabulary, a Whisper knows English only


@dataclass(frozen=True, slots=True)
class Speech:
    """What a Whisper's tokens mean, and the limits of what it says.

    Attributes:
        start: The token that every transcript begins with.
        end: The token that ends it.
        plain: The token that says that no timestamps are wanted; those follow it.
        languages: Tokens of languages, by code; empty for a model that knows English only.
        tasks: Tokens of ``transcribe`` and ``translate``, likewise.
        never: Tokens that are never said.
        not_first: Tokens that are not said first.
        first_latest: Latest timestamp that may be the first, in steps of 0.02 s; ``None`` for any.
        longest: Tokens of a transcript at most, those that it begins with included.
    """

    start: int
    end: int
    plain: int
    languages: Mapping[str, int]
    tasks: Mapping[str, int]
    never: tuple[int, ...]
    not_first: tuple[int, ...]
    first_latest: int | None
    longest: int

    @classmethod
    def of(cls, package: ModelPackage, tokenizer: Tokenizer) -> Speech | None:
        """Read a model's configurations and tokenizer; return ``None`` if it is no Whisper.

        Args:
            package: The model.
            tokenizer: Its tokenizer.
        """
        settings = package.config | package.settings("generation_config.json")
        start, end = (tokenizer.id(f"<|{name}|>") for name in ("startoftranscript", "endoftext"))
        plain = tokenizer.id("<|notimestamps|>")
        if start is None or end is None or plain is None:
            return None
        languages: dict[str, int] = {}
        tasks: dict[str, int] = {}
        if settings.get("is_multilingual", settings.get("vocab_size", _ENGLISH) >= _ENGLISH):
            tasks = {name: number for name in ("transcribe", "translate") if (number := tokenizer.id(f"<|{name}|>"))}
            for number in range(start + 1, min(tasks.values(), default=start)):
                code = re.fullmatch(r"<\|([a-z]+)\|>", tokenizer.token(number))
                languages |= {code[1]: number} if code else {}
        return cls(
            start,
            end,
            plain,
            languages,
            tasks,
            tuple(settings.get("suppress_tokens") or ()),
            tuple(settings.get("begin_suppress_tokens") or ()),
            settings.get("max_initial_timestamp_index", 50),
            int(settings.get("max_target_positions", settings.get("max_length", 448))),
        )

    def check(self, language: str | None, translate: bool) -> None:
        """Refuse a language that the model does not know.

        Args:
            language: A language's code or English name; ``None`` has the model find out.
            translate: Whether it is to translate to English.

        Raises:
            OptionError: It is unknown, or the model knows English only.
        """
        if not self.languages and (language not in (None, "en") or translate):
            raise OptionError("This Whisper knows English only: leave language and translate out.", option="language")
        if language is not None and self.languages and language not in self.languages:
            known = ", ".join(sorted(self.languages))
            raise OptionError(f"language must be one of {known}, not {language!r}.", option="language")

    async def listen(
        self, step: Step, *, language: str | None, translate: bool, timestamps: bool, most: int | None
    ) -> list[int]:
        """Decode greedily: the likeliest token that may come next, until the end.

        Args:
            step: Runs the decoder on what an encoder heard.
            language: Code of the language; ``None`` has the model tell.
            translate: Say it in English.
            timestamps: Say times, too.
            most: Tokens at most; ``None`` for as many as the model can.

        Returns:
            What was said, timestamps included, without the tokens that a transcript begins with and ends with.
        """
        prompt = [self.start]
        told = 0  # how much of the prompt the decoder has had
        if self.languages:
            if language is None:
                logits = await step(prompt)
                told = len(prompt)
                spoken = max(self.languages.values(), key=lambda token: float(logits[token]))
            else:
                spoken = self.languages[language]
            prompt += [spoken, self.tasks["translate" if translate else "transcribe"]]
        prompt += [] if timestamps else [self.plain]
        limit = self.longest - len(prompt) if most is None else min(most, self.longest - len(prompt))
        said: list[int] = []
        logits = await step(prompt[told:])
        while len(said) < limit:
            token = int(self.allowed(logits, said, timestamps=timestamps).argmax())
            if token == self.end:
                break
            said.append(token)
            if len(said) < limit:
                logits = await step([token])
        return said

    def allowed(self, logits: NDArray[Any], said: Sequence[int], *, timestamps: bool) -> Logits:
        """Return logits with those of tokens that may not come next at minus infinity.

        Args:
            logits: float array of shape (vocabulary,).
            said: Tokens so far, without the prompt.
            timestamps: Whether times are wanted.

        Returns:
            float array of the same shape.
        """
        left = logits.astype(np.float64)
        left[list(self.never)] = -np.inf
        if not said:
            left[list(self.not_first)] = -np.inf
        left[self.plain] = -np.inf
        if timestamps:
            self._time(left, said)
        else:
            left[self.plain + 1 :] = -np.inf
        return left

    def _time(self, left: Logits, said: Sequence[int]) -> None:
        """Keep to the order of times: a segment begins and ends with one, none is before another, text between them.

        The rules of arXiv:2212.04356, section 4.5, and its released code.
        """
        first = self.plain + 1
        timed = [token >= first for token in said]
        ended = timed[-2:] == [False, True]  # a segment has just ended, so the next one begins, or all ends
        if not said:
            left[:first] = -np.inf
            if self.first_latest is not None:
                left[first + self.first_latest + 1 :] = -np.inf
        elif ended:
            left[: self.end] = -np.inf
        elif timed[-1]:  # a segment has just begun, so it has text
            left[first:] = -np.inf
        if any(timed):
            latest = next(token for token in reversed(said) if token >= first)
            left[first : latest if ended else latest + 1] = -np.inf
        if np.logaddexp.reduce(left[first:]) > left[:first].max():  # a time is likelier than any one text
            left[:first] = -np.inf

    def segments(self, said: Sequence[int], offset: float) -> list[Segment]:
        """Return what was said, as segments.

        Args:
            said: Tokens; without timestamps among them, they are one segment without times.
            offset: Seconds that are added to each time.
        """
        made: list[Segment] = []
        start, text = None, []
        for token in said:
            if token <= self.plain:
                text.append(token)
                continue
            time = round(offset + (token - self.plain - 1) * SECONDS, 2)
            if text:
                made.append(Segment(start, time, tuple(text)))
            start, text = time, []
        return [*made, Segment(start, None, tuple(text))] if text else made
