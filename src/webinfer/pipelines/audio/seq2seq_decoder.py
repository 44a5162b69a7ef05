"""A decoder that speaks of what an encoder heard. Both that and the decoder's cache stay in the browser."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import HandleLost, LostError
from webinfer.core.tensors import DTYPES
from webinfer.inference.kv_cache import CACHE, Recurrence, cache_of
from webinfer.inference.model import AsyncModel
from webinfer.inference.result import Result

log = logging.getLogger("webinfer.listening")

_HEARD = "encoder_hidden_states"
_BRANCH = "use_cache_branch"  # of two graphs merged into one: that of the first step, or that of all others


class Listening:
    """One transcript in the making.

    Decoders come in two kinds: some take the keys and values that the encoder made for them, others the encoder's
    hidden state, and make these in the first step.

    Args:
        decoder: The decoder.
        heard: The encoder's outputs.
        note: Called with each step's result.
    """

    def __init__(self, decoder: AsyncModel, heard: Mapping[str, NDArray[Any]], note: Callable[[Result], None]) -> None:
        self._note = note
        self._decoder = decoder
        self._tokens: list[int] = []
        self._first = opening(decoder, heard)
        self._branched = _BRANCH in {spec.name for spec in decoder.package.signature.inputs}
        cache = cache_of(decoder.package)
        state = {taken: made for taken, made in cache.items() if ".encoder." not in taken}
        fixed = {name: cache.get(name, name) for name in self._first if name not in state}
        self._recurrence = Recurrence(decoder, state, fixed)

    def __repr__(self) -> str:
        return f"<Listening {self._decoder.name} tokens={len(self._tokens)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._recurrence.close()

    async def step(self, tokens: Sequence[int]) -> NDArray[Any]:
        """Go on by some tokens; where the lane was lost on the way, by all so far.

        Args:
            tokens: The next ones.

        Returns:
            The logits after the last of them, float of shape (vocabulary,).

        Raises:
            WebinferError: As ``AsyncModel.run``.
        """
        self._tokens += tokens
        fresh = list(tokens)
        while True:
            first = self._recurrence.lane is None
            feeds: dict[str, NDArray[Any]] = {"input_ids": np.array([fresh], np.int64)}
            feeds |= self._first if first else {}
            feeds |= {_BRANCH: np.array([not first])} if self._branched else {}
            try:
                result = await self._recurrence.step(feeds, ["logits"])
            except (HandleLost, LostError) as error:
                if first:
                    raise  # the pool has tried again already
                log.info("%s starts over from %d tokens: %s", self._decoder.name, len(self._tokens), error)
                fresh = self._tokens
                continue
            self._note(result)
            logits: NDArray[Any] = result["logits"][0, -1]
            return logits


def opening(decoder: AsyncModel, heard: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return what a decoder takes in its first step besides tokens: what was heard, and an empty cache.

    Args:
        decoder: The decoder's model.
        heard: Outputs of the encoder by name.

    Returns:
        Inputs by name.
    """
    taken = {}
    for spec in decoder.package.signature.inputs:
        made = heard.get(spec.name.replace(CACHE, "present", 1))
        if made is not None:
            taken[spec.name] = made
        elif spec.name == _HEARD:
            taken[spec.name] = heard["last_hidden_state"]
        elif spec.name.startswith(CACHE):  # (batch, heads, tokens, size)
            sizes = [size if isinstance(size, int) else int(axis == 0) for axis, size in enumerate(spec.shape)]
            taken[spec.name] = np.zeros(sizes, DTYPES[spec.dtype])
    return taken
