"""The positions that a model has for tokens. Beyond them, backends fail in their own words or give wrong answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import InputTooLong
from webinfer.models.files.package import ModelPackage

# Model types that look positions up in a table, which ends. Rotary and relative positions have no end. OPT is left out,
# since it numbers only the tokens that its mask keeps.
_TABLES = {
    "albert",
    "bert",
    "bert-generation",
    "clip",
    "clip_text_model",
    "distilbert",
    "electra",
    "ernie",
    "gpt2",
    "layoutlm",
    "mobilebert",
    "splinter",
}
# These give the first token the row behind that of the padding token, so the table's first rows stay unused.
_FROM_PADDING = {
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "mpnet",
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
}
_PADDING = 1  # of these, where nothing is stated
_RELATIVE = {"longt5", "mt5", "t5", "umt5"}  # whose ``n_positions`` is no more than what they were trained on
_LENGTHS = ("max_position_embeddings", "n_positions")  # in config.json: rows of the table


@dataclass(frozen=True, slots=True)
class Positions:
    """The positions that a model has.

    Attributes:
        model: Its name.
        count: Tokens that it takes at most; 0 where nothing is stated, or they have no end.
        padding: The token that is given no position, of models that count so.
    """

    model: str
    count: int
    padding: int | None = None

    @classmethod
    def of(cls, package: ModelPackage) -> Positions:
        """Read what a model states of itself.

        Args:
            package: The model.

        Returns:
            How many positions it has, and where they begin.
        """
        config, kind = package.config, package.config.get("model_type")
        table = config.get("position_embedding_type", "absolute") == "absolute" and kind in _TABLES | _FROM_PADDING
        return cls(package.name, (longest(config) or 0) if table else 0, _padding(config))

    def check(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Refuse sequences that are longer than the model has positions.

        Args:
            tensors: Arrays by input name, as they will be sent.

        Raises:
            InputTooLong: A sequence is too long.
        """
        ids = tensors.get("input_ids")
        if not self.count or ids is None or not ids.size:
            return
        needed = self._needed(ids, tensors)
        if needed > self.count:
            raise InputTooLong(
                f"Input 'input_ids' holds {needed:,} tokens, and {self.model} has positions for {self.count:,}: make "
                "it shorter, or run it in pieces. A text that is given as text is cut by itself.",
                input="input_ids",
                tokens=needed,
                max_length=self.count,
            )

    def _needed(self, ids: NDArray[Any], tensors: Mapping[str, NDArray[Any]]) -> int:
        """Return the number of positions that a run needs."""
        positions, mask = tensors.get("position_ids"), tensors.get("attention_mask")
        if positions is not None and positions.size:
            return int(positions.max()) + 1 - _first(self.padding)
        if ids.size and ids.shape[-1] > self.count and self.padding is not None:  # padding takes no position
            return int(np.count_nonzero(ids != self.padding, axis=-1).max())
        # With a cache, the mask also covers the tokens of earlier runs.
        return int(max(ids.shape[-1], mask.shape[-1] if mask is not None and mask.ndim else 0))


def longest(config: Mapping[str, Any]) -> int | None:
    """Return the number of tokens that a config.json states as a model's longest input; ``None`` where it states none.

    Args:
        config: What config.json holds.
    """
    if config.get("model_type") in _RELATIVE:
        return None
    text = config.get("text_config")
    parts = (config, text if isinstance(text, dict) else {})
    rows = next((size for part in parts for key in _LENGTHS if type(size := part.get(key)) is int and size > 0), None)
    return rows and max(rows - _first(_padding(config)), 1)


def _padding(config: Mapping[str, Any]) -> int | None:
    """Return the token that is given no position, of models that count from it."""
    padding = config.get("pad_token_id", _PADDING)
    return padding if config.get("model_type") in _FROM_PADDING and type(padding) is int else None


def _first(padding: int | None) -> int:
    """Return the row of the first position."""
    return 0 if padding is None else padding + 1
