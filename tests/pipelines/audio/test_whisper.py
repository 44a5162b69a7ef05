"""Whisper says what its rules allow: pure, with a decoder made of tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from webinfer.core.errors import OptionError
from webinfer.pipelines.audio.transcript import Segment
from webinfer.pipelines.audio.whisper import WhisperDecoding

END, START, EN, DE, TRANSLATE, TRANSCRIBE, PLAIN, FIRST, SIZE = 10, 11, 12, 13, 14, 15, 16, 17, 40
ENGLISH = WhisperDecoding(START, END, PLAIN, {}, {}, (9,), (0,), 5, 20)
MANY = replace(ENGLISH, languages={"en": EN, "de": DE}, tasks={"translate": TRANSLATE, "transcribe": TRANSCRIBE})


class Decoder:
    """Prefers tokens in a given order of steps, and remembers what it was given."""

    def __init__(self, *preferred: dict[int, float]) -> None:
        self.preferred = list(preferred)
        self.given: list[list[int]] = []

    async def __call__(self, tokens: Sequence[int]) -> NDArray[Any]:
        self.given.append(list(tokens))
        logits = np.full(SIZE, -20, np.float32)
        for token, value in self.preferred[min(len(self.given), len(self.preferred)) - 1].items():
            logits[token] = value
        return logits


async def listen(decoder: Decoder, speech: WhisperDecoding = ENGLISH, **wishes: Any) -> list[int]:
    wish = {"language": None, "translate": False, "timestamps": False, "most": None, **wishes}
    return await speech.decode(decoder, **wish)


async def test_likeliest_tokens_are_said_until_the_end() -> None:
    decoder = Decoder({3: 1, 4: 2}, {5: 1}, {END: 3, 1: 2})
    assert await listen(decoder) == [4, 5]
    assert decoder.given == [[START, PLAIN], [4], [5]]


async def test_suppressed_tokens_are_not_said() -> None:
    assert await listen(Decoder({0: 5, 9: 4, PLAIN: 3, FIRST: 3, 2: 1}, {0: 5}, {END: 1})) == [2, 0]


async def test_an_endless_speaker_is_stopped_at_the_models_length() -> None:
    decoder = Decoder({3: 1})
    assert await listen(decoder) == [3] * 18  # 20 less the two that it began with
    assert sum(len(tokens) for tokens in decoder.given) == 19  # the last one is not asked what follows it
    assert await listen(Decoder({3: 1}), most=4) == [3] * 4


async def test_language_and_task_begin_the_transcript() -> None:
    decoder = Decoder({END: 1})
    await listen(decoder, MANY, language="en", translate=True, timestamps=True)
    assert decoder.given[0] == [START, EN, TRANSLATE]


async def test_language_is_told_by_the_model_and_the_start_is_given_once() -> None:
    decoder = Decoder({3: 9, EN: 1, DE: 2}, {END: 1})
    await listen(decoder, MANY)
    assert decoder.given == [[START], [DE, TRANSCRIBE, PLAIN]]


def test_languages_that_a_model_does_not_know_are_refused() -> None:
    with pytest.raises(OptionError, match=r"must be one of de, en, not 'fr'"):
        MANY.check("fr", False)
    for language, translate in (("de", False), (None, True)):
        with pytest.raises(OptionError, match="English only"):
            ENGLISH.check(language, translate)
    ENGLISH.check("en", False)
    MANY.check(None, True)


def allowed(said: Sequence[int], **preferred: float) -> set[int]:
    logits = np.zeros(SIZE)
    logits[FIRST:] = -10  # so that times are not likelier than text
    return set(np.flatnonzero(np.isfinite(ENGLISH.allowed(logits, said, timestamps=True))).tolist())


def test_times_come_in_order_and_in_pairs() -> None:
    text = set(range(PLAIN)) - {9}
    assert allowed([]) == set(range(FIRST, FIRST + 6))  # a time first, and not a late one
    assert allowed([FIRST + 2]) == text  # a segment has text
    assert allowed([FIRST + 2, 3]) == text | set(range(FIRST + 3, SIZE))  # and a length
    assert allowed([FIRST + 2, 3, FIRST + 7]) == set(range(END, PLAIN)) | set(range(FIRST + 7, SIZE))
    assert allowed([FIRST + 2, 3, FIRST + 7, FIRST + 7]) == text
    assert allowed([FIRST + 2, 3, FIRST + 7, FIRST + 7, 3]) == text | set(range(FIRST + 8, SIZE))


def test_a_time_is_said_when_times_together_are_likelier_than_any_text() -> None:
    logits = np.zeros(SIZE)
    logits[4] = 2.0  # each time is less likely than this, and the 22 that may come together are more
    left = ENGLISH.allowed(logits, [FIRST, 3], timestamps=True)
    assert not np.isfinite(left[:FIRST]).any()
    logits[4] = 4.0
    assert ENGLISH.allowed(logits, [FIRST, 3], timestamps=True).argmax() == 4


def test_segments_lie_between_times() -> None:
    said = [FIRST, 1, 2, FIRST + 5, FIRST + 6, 3, FIRST + 9, FIRST + 9, 4]
    assert ENGLISH.segments(said, 20.0) == [
        Segment(20.0, 20.1, (1, 2)),
        Segment(20.12, 20.18, (3,)),
        Segment(20.18, None, (4,)),
    ]
    assert ENGLISH.segments([1, 2], 20.0) == [Segment(None, None, (1, 2))]
    assert ENGLISH.segments([FIRST, FIRST + 3], 0.0) == []
