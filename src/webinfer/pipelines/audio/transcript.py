"""Long recordings in pieces that overlap, and what was heard in them as one transcript. Without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

_FEWEST = 2  # tokens alike in a row that count as the same words heard twice; one may be chance


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a recording, in samples.

    Attributes:
        start: Where it begins.
        stop: Where it ends.
        left: How much at its beginning is there for context only, as the piece before has it, too.
        right: How much at its end is.
    """

    start: int
    stop: int
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens said between two times.

    Attributes:
        start: Seconds from the recording's beginning; ``None`` where it was not asked for.
        end: Likewise; ``None`` also where the model did not say it.
        tokens: Of text only.
    """

    start: float | None
    end: float | None
    tokens: tuple[int, ...]


def pieces(length: int, chunk: int, left: int, right: int) -> Iterator[Piece]:
    """Cut a recording.

    Args:
        length: Of the recording, in samples.
        chunk: Of a piece.
        left: Context before.
        right: Context after; with the one before, less than ``chunk``.
    """
    for start in range(0, length, chunk - left - right):
        last = start + chunk >= length
        yield Piece(start, min(start + chunk, length), left if start else 0, 0 if last else right)
        if last:
            return


def joined(heard: Iterable[Sequence[Segment]]) -> list[Segment]:
    """Join what was heard in pieces that overlap: at each seam, in the middle of the longest run of equal tokens.

    Args:
        heard: Each piece's segments, in order.
    """
    whole: list[Segment] = []
    last: list[int] = []  # tokens of the piece before, as far as they were kept
    for segments in heard:
        tokens = [token for segment in segments for token in segment.tokens]
        match = SequenceMatcher(None, last, tokens, autojunk=False).find_longest_match()
        middle = match.size // 2
        if match.size < _FEWEST:
            whole += segments
            last = tokens
            continue
        kept = sum(len(segment.tokens) for segment in whole) - len(last) + match.a + middle
        before, after = _split(whole, kept)[0], _split(segments, match.b + middle)[1]
        whole = [*before[:-1], *_met(before[-1], after[0]), *after[1:]]
        last = tokens[match.b + middle :]
    return whole


def _split(segments: Sequence[Segment], at: int) -> tuple[list[Segment], list[Segment]]:
    """Split before a token; of a segment that is cut, neither half knows when the cut was."""
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


def _met(left: Segment, right: Segment) -> list[Segment]:
    """Bring the segments at a seam together: one where both were cut there, else one ends as the other begins."""
    if left.end is None and right.start is None:
        return [Segment(left.start, right.end, (*left.tokens, *right.tokens))]
    return [
        replace(left, end=right.start if left.end is None else left.end),
        replace(right, start=left.end if right.start is None else right.start),
    ]
