"""A decoder over an encoder's outputs. The encoder's outputs and the decoder's cache stay in the browser."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import HandleLost, LostError
from webinfer.core.tensors import DTYPES
from webinfer.inference.model import AsyncModel
from webinfer.inference.residents.kv_cache import CACHE, Recurrence, cache_of
from webinfer.inference.result import Result

log = logging.getLogger("webinfer.listening")

_HIDDEN_STATES = "encoder_hidden_states"
_BRANCH = "use_cache_branch"  # chooses between two merged graphs: that of the first step and that of later steps


class Seq2SeqDecoder:
    """One transcript that is being written.

    There are two kinds of decoders. Some take the keys and values of cross-attention from the encoder. Others take the
    encoder's hidden states and make keys and values in the first step.

    Args:
        decoder: The decoder's model.
        encoded: The encoder's outputs by name.
        note: Called with each step's result.
    """

    def __init__(
        self, decoder: AsyncModel, encoded: Mapping[str, NDArray[Any]], note: Callable[[Result], None]
    ) -> None:
        self._note = note
        self._decoder = decoder
        self._tokens: list[int] = []
        self._first = first_inputs(decoder, encoded)
        self._branched = _BRANCH in {spec.name for spec in decoder.package.signature.inputs}
        cache = cache_of(decoder.package)
        # Keys and values over the encoder's outputs never change, so that they are inputs and no state.
        state = {source: target for source, target in cache.items() if ".encoder." not in source}
        fixed = {name: cache.get(name, name) for name in self._first if name not in state}
        self._recurrence = Recurrence(decoder, state, fixed)

    def __repr__(self) -> str:
        return f"<Seq2SeqDecoder {self._decoder.name} tokens={len(self._tokens)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._recurrence.close()

    async def step(self, tokens: Sequence[int]) -> NDArray[Any]:
        """Run the decoder on the next tokens. After a lost lane, run it on all tokens so far.

        Args:
            tokens: The next token ids.

        Returns:
            The logits after the last token, float of shape (vocabulary,).

        Raises:
            HandleLost: The cache was lost in the first step.
            LostError: A lane was lost in the first step, after the pool's own retries.
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
                    raise  # the pool has retried already
                log.info("%s starts over from %d tokens: %s", self._decoder.name, len(self._tokens), error)
                fresh = self._tokens
                continue
            self._note(result)
            logits: NDArray[Any] = result["logits"][0, -1]
            return logits


def first_inputs(decoder: AsyncModel, encoded: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the inputs of a decoder's first step besides tokens: the encoder's outputs and an empty cache.

    Args:
        decoder: The decoder's model.
        encoded: The encoder's outputs by name.

    Returns:
        Inputs by name; the cache has 0 tokens, in the dtypes that the decoder declares.
    """
    inputs = {}
    for spec in decoder.package.signature.inputs:
        output = encoded.get(spec.name.replace(CACHE, "present", 1))
        if output is not None:
            inputs[spec.name] = output
        elif spec.name == _HIDDEN_STATES:
            inputs[spec.name] = encoded["last_hidden_state"]
        elif spec.name.startswith(CACHE):  # (batch, heads, tokens, size)
            sizes = [size if isinstance(size, int) else int(axis == 0) for axis, size in enumerate(spec.shape)]
            inputs[spec.name] = np.zeros(sizes, DTYPES[spec.dtype])
    return inputs
