"""What pipelines over text share: they run texts, and return each text's row of one output in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import EmptyBatch, InputError
from webinfer.core.options import positive
from webinfer.models.preprocessing.tokenizer import Text
from webinfer.pipelines.base.pipeline import AsyncPipeline


@dataclass(frozen=True, slots=True)
class Row:
    """One text's share of a run.

    Attributes:
        ids: Its tokens, with padding; int64 of shape (sequence,).
        mask: 1 for a token, 0 for padding; int64 of shape (sequence,).
        output: The output's row for it.
    """

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    output: NDArray[Any]

    @property
    def tokens(self) -> NDArray[np.bool_]:
        """True for a token, False for padding; shape (sequence,)."""
        return self.mask.astype(bool)


class TextPipeline(AsyncPipeline):
    """A task over texts with an encoder."""

    _output: str  # name of the output that it reads

    def _check_models(self) -> None:
        """Refuse a model without a tokenizer or without the output."""
        self._output = self._find_output()
        _ = self.model.tokenizer

    def _find_output(self) -> str:
        """Return the name of the output to read."""
        raise NotImplementedError

    async def _rows(self, texts: Sequence[Text], batch_size: int) -> list[Row]:
        """Run texts, those of similar length together, and return their rows in order.

        Args:
            texts: One or more texts.
            batch_size: Most texts in one run.

        Returns:
            A row for each text, in order.

        Raises:
            EmptyBatch: There are no texts.
            OptionError: ``batch_size`` is below 1.
        """
        positive("batch_size", batch_size)
        if not texts:
            raise EmptyBatch(f"{self.task} was given no texts: pass at least one.")
        order = sorted(range(len(texts)), key=lambda at: len(str(texts[at])))  # less padding
        groups = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
        tokens = [self.model.tokenizer.encode([texts[at] for at in group]) for group in groups]
        names = {spec.name for spec in self.model.package.signature.inputs}
        feeds = [{name: array for name, array in encoded.items() if name in names} for encoded in tokens]
        results = await self._run_batch(feeds, [self._output])
        rows: dict[int, Row] = {}
        for group, encoded, result in zip(groups, tokens, results, strict=True):
            parts = (encoded["input_ids"], encoded["attention_mask"], result[self._output])
            rows.update(zip(group, map(Row, *parts), strict=True))
        return [rows[at] for at in range(len(texts))]


def texts_of(inputs: Any, task: str) -> tuple[list[Text], bool]:
    """Return a list of texts for one text or a list.

    Args:
        inputs: A string, a pair as a tuple or as ``{"text": …, "text_pair": …}``, or a list of these.
        task: Name of the task, for the error.

    Returns:
        The texts, and whether the caller passed a list.

    Raises:
        InputError: The inputs are something else.
    """
    if isinstance(inputs, str | tuple | Mapping):
        return [_text(inputs, task)], False
    if isinstance(inputs, Sequence):
        return [_text(item, task) for item in inputs], True
    raise InputError(f"{task} takes a text or a list of texts, not a {type(inputs).__name__}.")


def _text(item: Any, task: str) -> Text:
    if isinstance(item, Mapping) and isinstance(item.get("text"), str):
        return (item["text"], str(item["text_pair"])) if item.get("text_pair") is not None else item["text"]
    if isinstance(item, str):
        return item
    if isinstance(item, tuple) and len(item) == 2 and all(isinstance(text, str) for text in item):
        return item
    raise InputError(f"{task} takes a text or a pair of texts, not a {type(item).__name__}: {str(item)[:60]!r}.")
