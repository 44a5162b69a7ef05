"""The token ids that a model knows. For an id beyond them, a backend may answer anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import TokenizerMismatch, TokenOutOfRange
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.tokenizer import Tokenizer

_INPUTS = ("input_ids", "decoder_input_ids")
_UNSIGNED = {4: np.uint32, 8: np.uint64}  # by bytes of an id


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The token ids that a model knows.

    Attributes:
        model: Its name.
        inputs: Those of its inputs that take ids, by name; none where ``size`` is 0.
        size: ``vocab_size`` in config.json, of the text's part where there are several; 0 where nothing is stated.
    """

    model: str
    inputs: tuple[str, ...]
    size: int

    @classmethod
    def of(cls, package: ModelPackage) -> Vocabulary:
        """Read what a model states of itself.

        Args:
            package: The model.

        Returns:
            What it states, with defaults for the rest.
        """
        names = tuple(
            spec.name for spec in package.signature.inputs if spec.name in _INPUTS and spec.dtype in ("int32", "int64")
        )
        size = _size(package.config) if names else 0
        return cls(package.name, names if size else (), size)

    def check(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Refuse ids that the model does not know.

        Args:
            tensors: Arrays by input name, of the declared dtypes; those that are missing are not looked for.

        Raises:
            TokenOutOfRange: One is below 0, or not below ``size``.
        """
        for name in self.inputs:
            ids = tensors.get(name)
            # As unsigned numbers, ids below 0 are above all others, so one pass finds both kinds.
            if ids is not None and ids.size and ids.view(_UNSIGNED[ids.itemsize]).max() >= self.size:
                self._refuse(name, ids)

    def check_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Refuse a tokenizer that has more tokens than the model knows.

        Args:
            tokenizer: The tokenizer that came with the model.

        Raises:
            TokenizerMismatch: The tokenizer has more.
        """
        if self.size and tokenizer.size > self.size:
            raise TokenizerMismatch(
                f"{tokenizer.path} does not match {self.model}: it has {tokenizer.size:,} tokens, and the model's "
                f"config.json says vocab_size {self.size:,}. Put the tokenizer.json and config.json beside the model "
                "that it was exported with.",
                model=self.model,
                tokens=tokenizer.size,
                vocab_size=self.size,
            )

    def _refuse(self, name: str, ids: NDArray[Any]) -> None:
        worst = int(ids[(ids < 0) | (ids >= self.size)][0])
        raise TokenOutOfRange(
            f"Input {name!r} holds the token id {worst}, and {self.model} knows 0 to {self.size - 1} "
            f"(vocab_size {self.size} in its config.json): encode with the model's own tokenizer.",
            input=name,
            id=worst,
            vocab_size=self.size,
        )


def _size(config: Mapping[str, Any]) -> int:
    text = config.get("text_config")
    for part in (config, text if isinstance(text, dict) else {}):
        size = part.get("vocab_size")
        if type(size) is int and size > 0:
            return size
    return 0
