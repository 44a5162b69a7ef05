"""Long recordings: overlapping chunks, and their transcripts joined to one. Without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

_FEWEST = 2  # equal tokens in a row that count as the same words in both chunks; one may be equal by chance


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A part of a recording, in samples.

    Attributes:
        start: First sample.
        stop: Sample after the last.
        left: Samples at its start that are context only, because the chunk before has them too.
        right: Samples at its end that are context only.
    """

    start: int
    stop: int
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens between two times.

    Attributes:
        start: Seconds from the recording's start; ``None`` without timestamps.
        end: Seconds from the recording's start; ``None`` without timestamps, or if the model gave none.
        tokens: Tokens of text.
    """

    start: float | None
    end: float | None
    tokens: tuple[int, ...]


def chunks(length: int, chunk: int, left: int, right: int) -> Iterator[AudioChunk]:
    """Cut a recording into overlapping chunks.

    Args:
        length: Samples of the recording.
        chunk: Samples of a chunk.
        left: Samples of context before.
        right: Samples of context after. Both contexts together are shorter than ``chunk``.

    Yields:
        The chunks, in order.
    """
    for start in range(0, length, chunk - left - right):
        last = start + chunk >= length
        yield AudioChunk(start, min(start + chunk, length), left if start else 0, 0 if last else right)
        if last:
            return


def join(transcripts: Iterable[Sequence[Segment]]) -> list[Segment]:
    """Join the transcripts of overlapping chunks.

    Two neighbours are joined in the middle of their longest run of equal tokens.

    Args:
        transcripts: Each chunk's segments, in order.

    Returns:
        The segments of the whole recording.
    """
    whole: list[Segment] = []
    last: list[int] = []  # tokens of the chunk before, without those that were cut off
    for segments in transcripts:
        tokens = [token for segment in segments for token in segment.tokens]
        match = SequenceMatcher(None, last, tokens, autojunk=False).find_longest_match()
        middle = match.size // 2
        if match.size < _FEWEST:
            whole += segments
            last = tokens
            continue
        # `last` is the tail of `whole`, so places in it count from where it starts there.
        seam = sum(len(segment.tokens) for segment in whole) - len(last) + match.a + middle
        before, after = _split(whole, seam)[0], _split(segments, match.b + middle)[1]
        whole = [*before[:-1], *_meet(before[-1], after[0]), *after[1:]]
        last = tokens[match.b + middle :]
    return whole


def _split(segments: Sequence[Segment], at: int) -> tuple[list[Segment], list[Segment]]:
    """Return the segments before a token and those after it. The time of a cut is unknown in both halves."""
    before: list[Segment] = []
    for number, segment in enumerate(segments):
        if at < len(segment.tokens):
            if at == 0:
                return before, list(segments[number:])
            halves = replace(segment, end=None, tokens=segment.tokens[:at]), replace(segment, start=None)
            return [*before, halves[0]], [replace(halves[1], tokens=segment.tokens[at:]), *segments[number + 1 :]]
        before.append(segment)
        at -= len(segment.tokens)
    return before, []


def _meet(left: Segment, right: Segment) -> list[Segment]:
    """Return the segments joined at a seam: one if both were cut, else the left one ends where the right starts."""
    if left.end is None and right.start is None:
        return [Segment(left.start, right.end, (*left.tokens, *right.tokens))]
    return [
        replace(left, end=right.start if left.end is None else left.end),
        replace(right, start=left.end if right.start is None else right.start),
    ]
