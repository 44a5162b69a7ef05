"""Recordings are cut into pieces that overlap, and what was heard in them is joined without loss or repetition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webinfer.pipelines.audio.transcript import AudioChunk, Segment, chunks, join


def plain(*tokens: int) -> list[Segment]:
    return [Segment(None, None, tokens)] if tokens else []


def test_a_short_recording_is_one_piece() -> None:
    assert list(chunks(100, 100, 20, 20)) == [AudioChunk(0, 100, 0, 0)]
    assert list(chunks(1, 100, 20, 20)) == [AudioChunk(0, 1, 0, 0)]


def test_pieces_share_their_context_with_their_neighbours() -> None:
    assert list(chunks(250, 100, 20, 30)) == [
        AudioChunk(0, 100, 0, 30),
        AudioChunk(50, 150, 20, 30),
        AudioChunk(100, 200, 20, 30),
        AudioChunk(150, 250, 20, 0),
    ]


@given(st.integers(1, 3000), st.integers(3, 400), st.integers(0, 200), st.integers(0, 200))
def test_every_sample_is_heard_once_outside_of_context(length: int, chunk: int, left: int, right: int) -> None:
    left, right = left % (chunk // 2), right % (chunk // 2)
    at = 0
    for place in chunks(length, chunk, left, right):
        assert place.start + place.left == at
        assert place.stop - place.start <= chunk
        at = place.stop - place.right
    assert at == length


@given(st.lists(st.integers(), min_size=30, max_size=200, unique=True), st.integers(10, 25), st.integers(3, 8))
def test_words_heard_twice_are_written_once(words: list[int], size: int, shared: int) -> None:
    parts = [plain(*words[place.start : place.stop]) for place in chunks(len(words), size, shared, 0)]
    assert [token for segment in join(parts) for token in segment.tokens] == words


def test_what_is_misheard_at_the_edges_is_left_out() -> None:
    heard = [plain(1, 2, 3, 4, 5, 6, 90), plain(91, 4, 5, 6, 7, 8, 9, 92), plain(93, 94, 7, 8, 9, 10)]
    assert join(heard) == plain(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)


def test_pieces_with_nothing_in_common_follow_each_other() -> None:
    assert join([plain(1, 2), [], plain(3), plain(4, 3)]) == [*plain(1, 2), *plain(3), *plain(4, 3)]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        # cut in the middle of both: one segment
        (
            [Segment(0, 4, (1, 2)), Segment(4, 9, (3, 4, 5, 6))],
            [Segment(5, 10, (4, 5, 6, 7)), Segment(10, 12, (8,))],
            [Segment(0, 4, (1, 2)), Segment(4, 10, (3, 4, 5, 6, 7)), Segment(10, 12, (8,))],
        ),
        # cut between segments of both: as they are
        (
            [Segment(0, 4, (1, 2)), Segment(4, 9, (3, 4))],
            [Segment(0.2, 4, (1, 2)), Segment(4, 9.5, (3, 4, 5))],
            [Segment(0, 4, (1, 2)), Segment(4, 9.5, (3, 4, 5))],
        ),
        # cut in the left one only: it ends where the right one begins
        (
            [Segment(0, 9, (1, 2, 3, 4))],
            [Segment(2, 3, (2,)), Segment(3, 8, (3, 4, 5))],
            [Segment(0, 3, (1, 2)), Segment(3, 8, (3, 4, 5))],
        ),
        # cut in the right one only: it begins where the left one ends
        (
            [Segment(0, 3, (1, 2)), Segment(3, 6, (3,))],
            [Segment(1, 7, (2, 3, 4))],
            [Segment(0, 3, (1, 2)), Segment(3, 7, (3, 4))],
        ),
        # the last words of a piece, whose end was not said
        (
            [Segment(0, None, (1, 2, 3))],
            [Segment(2, 5, (2, 3, 4))],
            [Segment(0, 5, (1, 2, 3, 4))],
        ),
    ],
)
def test_times_meet_at_the_seam(left: list[Segment], right: list[Segment], expected: list[Segment]) -> None:
    assert join([left, right]) == expected
