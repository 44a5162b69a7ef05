"""Writing text token by token with a decoder whose cache stays in the browser."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import HandleLost, LostError
from webinfer.core.tensors import DTYPES
from webinfer.inference.kv_cache import Recurrence, cache_of
from webinfer.inference.model import AsyncModel
from webinfer.inference.result import Result
from webinfer.models.preprocessing.tokenizer import Tokenizer

log = logging.getLogger("webinfer.decoding")

Choose = Callable[[NDArray[Any], NDArray[np.int64]], int]
"""Takes the logits of the next token and the tokens so far; returns the next."""


async def decode(
    model: AsyncModel, prompt: Sequence[int], choose: Choose, note: Callable[[Result], None]
) -> AsyncGenerator[int, None]:
    """Yield tokens, without end; whoever takes them stops.

    The first step takes the whole prompt, the others one token each. Where the lane with the cache is lost, the next
    step takes everything anew: what was yielded stays, and with the same choices the rest is the same, too.

    Args:
        model: A decoder with a cache.
        prompt: Token ids, at least one.
        choose: Chooses each next token.
        note: Called with each step's result.

    Raises:
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
                    raise  # the pool has tried again already
                log.info("%s starts over from %d tokens: %s", model.name, len(tokens), error)
                fresh = tokens
                continue
            note(result)
            token = choose(result["logits"][0, -1], tokens)
            fresh = np.array([token], np.int64)
            tokens = np.concatenate([tokens, fresh])
            yield token


def _feeds(model: AsyncModel, fresh: NDArray[np.int64], total: int, first: bool) -> dict[str, NDArray[Any]]:
    """Return a step's inputs: the new tokens, their places behind the others, and for the first an empty cache."""
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


class Pieces:
    """From tokens to text, as soon as they are text: a character may be spread over several tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._from = self._told = 0  # decoding starts at the one; all before the other has been told

    def add(self, token: int) -> str:
        """Return the text that a token adds; nothing while a character is not whole.

        Args:
            token: Id of the token.
        """
        self._tokens.append(token)
        return self._tell(whole=True)

    def rest(self) -> str:
        """Return what is left, whole or not."""
        return self._tell(whole=False)

    def _tell(self, *, whole: bool) -> str:
        """Decode a few tokens back, since how a token reads may depend on the one before it."""
        before = self._tokenizer.decode(self._tokens[self._from : self._told])
        now = self._tokenizer.decode(self._tokens[self._from :])
        if whole and now.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        self._from, self._told = self._told, len(self._tokens)
        return now[len(before) :]
