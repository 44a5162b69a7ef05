"""Text generation token by token, by a decoder whose cache stays in the browser."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import HandleLost, LostError
from webinfer.core.tensors import DTYPES
from webinfer.inference.model import AsyncModel
from webinfer.inference.residents.kv_cache import Recurrence, cache_of
from webinfer.inference.result import Result
from webinfer.models.preprocessing.tokenizer import Tokenizer

log = logging.getLogger("webinfer.decoding")

TokenChoice = Callable[[NDArray[Any], NDArray[np.int64]], int]
"""Takes the logits of the next token and the tokens so far. Returns the next token."""


async def decode(
    model: AsyncModel, prompt: Sequence[int], choose: TokenChoice, note: Callable[[Result], None]
) -> AsyncGenerator[int, None]:
    """Yield tokens without end. The caller stops.

    The first step takes the whole prompt, each later step one token. If the lane with the cache is lost, the next step
    takes all tokens so far again. The tokens that were yielded stay valid. The same choices give the same rest.

    Args:
        model: A decoder with a cache.
        prompt: Token ids, at least one.
        choose: Chooses each next token.
        note: Called with each step's result.

    Yields:
        Token ids.

    Raises:
        HandleLost: The cache was lost in the first step.
        LostError: A lane was lost in the first step, after the pool's own retries.
        WebinferError: As ``AsyncModel.run``.
    """
    tokens = np.array(prompt, np.int64)
    with closing(Recurrence(model, cache_of(model.package))) as recurrence:
        fresh = tokens
        while True:
            try:
                first = recurrence.lane is None
                result = await recurrence.step(_feeds(model, fresh, len(tokens), first), ["logits"])
            except (HandleLost, LostError) as error:
                if first:
                    raise  # the pool has retried already
                log.info("%s starts over from %d tokens: %s", model.name, len(tokens), error)
                fresh = tokens
                continue
            note(result)
            token = choose(result["logits"][0, -1], tokens)
            fresh = np.array([token], np.int64)
            tokens = np.concatenate([tokens, fresh])
            yield token


def _feeds(model: AsyncModel, fresh: NDArray[np.int64], total: int, first: bool) -> dict[str, NDArray[Any]]:
    """Return a step's inputs: the new tokens, their positions, and an empty cache for the first step."""
    feeds: dict[str, NDArray[Any]] = {
        "input_ids": fresh[None],
        "attention_mask": np.ones((1, total), np.int64),
        "position_ids": np.arange(total - len(fresh), total)[None],
    }
    state = cache_of(model.package)
    specs = model.package.signature.inputs
    taken = {spec.name: feeds[spec.name] for spec in specs if spec.name in feeds}
    for spec in specs if first else ():
        if spec.name in state:  # (batch, heads, tokens, size)
            sizes = [size if isinstance(size, int) else int(axis == 0) for axis, size in enumerate(spec.shape)]
            taken[spec.name] = np.zeros(sizes, DTYPES[spec.dtype])
    return taken


class TextStreamer:
    """Turns tokens into text as early as possible. One character may need several tokens.

    Args:
        tokenizer: The model's tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._start = self._sent = 0  # tokens before `_sent` have been returned; decoding starts at `_start`

    def add(self, token: int) -> str:
        """Return the text that a token adds. It is empty while a character is incomplete.

        Args:
            token: Id of the token.

        Returns:
            The new text.
        """
        self._tokens.append(token)
        return self._decode(whole=True)

    def rest(self) -> str:
        """Return the remaining text, even if its last character is incomplete."""
        return self._decode(whole=False)

    def _decode(self, *, whole: bool) -> str:
        # A token's text may depend on the token before it. So decoding starts some tokens back, and the text that
        # was already returned is cut off.
        before = self._tokenizer.decode(self._tokens[self._start : self._sent])
        now = self._tokenizer.decode(self._tokens[self._start :])
        if whole and now.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        self._start, self._sent = self._sent, len(self._tokens)
        return now[len(before) :]
