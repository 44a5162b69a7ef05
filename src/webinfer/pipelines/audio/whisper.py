"""Whisper's decoding: the tokens it starts with, the tokens it may take next, and the greedy loop."""

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
"""Takes the next tokens. Returns the logits after the last one, of shape (vocabulary,)."""

SECONDS = 0.02  # from one timestamp token to the next (arXiv:2212.04356, section 2.3)
_ENGLISH = 51_865  # below this size of the vocabulary, a Whisper knows English only


@dataclass(frozen=True, slots=True)
class WhisperDecoding:
    """The special tokens and limits of a Whisper model, and its greedy decoding.

    Attributes:
        start: The token that starts every transcript.
        end: The token that ends it.
        plain: The token that turns timestamps off. Timestamp tokens have higher ids.
        languages: Tokens of languages, by code; empty for a model of English only.
        tasks: Tokens of ``transcribe`` and ``translate``; empty for a model of English only.
        never: Tokens that are never taken.
        not_first: Tokens that are not taken first.
        first_latest: Latest timestamp that may be the first, in steps of 0.02 s; ``None`` for any.
        longest: Most tokens of a transcript, with those that start it.
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
    def of(cls, package: ModelPackage, tokenizer: Tokenizer) -> WhisperDecoding | None:
        """Read a model's configurations and tokenizer.

        Args:
            package: The model.
            tokenizer: Its tokenizer.

        Returns:
            The decoding; ``None`` if the model is not a Whisper model.
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
            language: Code of the language; ``None`` lets the model detect it.
            translate: Whether to translate to English.

        Raises:
            OptionError: The language is unknown, or the model knows English only.
        """
        if not self.languages and (language not in (None, "en") or translate):
            raise OptionError("This Whisper knows English only: leave language and translate out.", option="language")
        if language is not None and self.languages and language not in self.languages:
            known = ", ".join(sorted(self.languages))
            raise OptionError(f"language must be one of {known}, not {language!r}.", option="language")

    async def decode(
        self, step: Step, *, language: str | None, translate: bool, timestamps: bool, most: int | None
    ) -> list[int]:
        """Decode greedily: take the likeliest allowed token, until the end.

        Args:
            step: Runs the decoder on the encoder's outputs.
            language: Code of the language; ``None`` lets the model detect it.
            translate: Translate to English.
            timestamps: Write timestamps too.
            most: Most tokens; ``None`` for the model's own limit.

        Returns:
            Tokens, with timestamps, without the tokens that start and end a transcript.
        """
        prompt = [self.start]
        sent = 0  # tokens of the prompt that the decoder has run on
        if self.languages:
            if language is None:
                logits = await step(prompt)
                sent = len(prompt)
                spoken = max(self.languages.values(), key=lambda token: float(logits[token]))
            else:
                spoken = self.languages[language]
            prompt += [spoken, self.tasks["translate" if translate else "transcribe"]]
        prompt += [] if timestamps else [self.plain]
        limit = self.longest - len(prompt) if most is None else min(most, self.longest - len(prompt))
        tokens: list[int] = []
        logits = await step(prompt[sent:])
        while len(tokens) < limit:
            token = int(self.allowed(logits, tokens, timestamps=timestamps).argmax())
            if token == self.end:
                break
            tokens.append(token)
            if len(tokens) < limit:
                logits = await step([token])
        return tokens

    def allowed(self, logits: NDArray[Any], tokens: Sequence[int], *, timestamps: bool) -> Logits:
        """Return logits in which tokens that may not come next have minus infinity.

        Args:
            logits: float array of shape (vocabulary,).
            tokens: Tokens so far, without the prompt.
            timestamps: Whether timestamps are written.

        Returns:
            float array of the same shape.
        """
        masked = logits.astype(np.float64)
        masked[list(self.never)] = -np.inf
        if not tokens:
            masked[list(self.not_first)] = -np.inf
        masked[self.plain] = -np.inf
        if timestamps:
            self._mask_times(masked, tokens)
        else:
            masked[self.plain + 1 :] = -np.inf
        return masked

    def _mask_times(self, masked: Logits, tokens: Sequence[int]) -> None:
        """Mask tokens that would break the order of timestamps.

        A segment starts and ends with a timestamp and has text between them. Times never decrease. These are the rules
        of arXiv:2212.04356, section 4.5, and of its released code.
        """
        first = self.plain + 1
        timed = [token >= first for token in tokens]
        ended = timed[-2:] == [False, True]  # a segment has just ended: the next one starts, or the transcript ends
        if not tokens:
            masked[:first] = -np.inf
            if self.first_latest is not None:
                masked[first + self.first_latest + 1 :] = -np.inf
        elif ended:
            masked[: self.end] = -np.inf
        elif timed[-1]:  # a segment has just started: text must follow
            masked[first:] = -np.inf
        if any(timed):
            latest = next(token for token in reversed(tokens) if token >= first)
            masked[first : latest if ended else latest + 1] = -np.inf
        if np.logaddexp.reduce(masked[first:]) > masked[:first].max():  # a timestamp is likelier than any one text
            masked[:first] = -np.inf

    def segments(self, tokens: Sequence[int], offset: float) -> list[Segment]:
        """Return tokens as segments.

        Args:
            tokens: Tokens; without timestamps they are one segment without times.
            offset: Seconds to add to each time.

        Returns:
            The segments, in order.
        """
        segments: list[Segment] = []
        start, text = None, []
        for token in tokens:
            if token <= self.plain:
                text.append(token)
                continue
            time = round(offset + (token - self.plain - 1) * SECONDS, 2)
            if text:
                segments.append(Segment(start, time, tuple(text)))
            start, text = time, []
        return [*segments, Segment(start, None, tuple(text))] if text else segments
