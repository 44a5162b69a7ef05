"""Texts of very few tokens, which show whether a model sees the positions that its attention mask hides."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from webinfer.accuracy.samples.maker import SampleMaker
from webinfer.models.files.package import ModelPackage

Arrays = dict[str, NDArray[Any]]

LENGTH = 2
"""Tokens of a short text: few enough that their maximum is often below the zeros that a mask leaves of others. Only
that shows a maximum that sees these."""

_IDS, _MASK = "input_ids", "attention_mask"
_HIDDEN: tuple[tuple[int, ...], ...] = ((), (), (), (), (-1,), (0,))
"""Positions that the masks hide already, by the texts' seeds."""


def takes_texts(package: ModelPackage) -> bool:
    """Return whether a model takes token ids with an attention mask.

    Args:
        package: The model.
    """
    return {_IDS, _MASK} <= {spec.name for spec in package.signature.inputs}


def short_texts(package: ModelPackage, length: int = LENGTH) -> list[Arrays]:
    """Make short texts for a model that takes them.

    Args:
        package: The model.
        length: Tokens of each.

    Returns:
        The texts, each with its inputs by name.

    Raises:
        InputError: The model wants something that cannot be made up.
    """
    maker, texts = SampleMaker(package), []
    for seed, hidden in enumerate(_HIDDEN):
        text = maker.make(length, seed)
        text[_MASK][:, list(hidden)] = 0
        texts.append(text)
    return texts
