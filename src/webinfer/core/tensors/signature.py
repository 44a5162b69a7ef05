"""The dtypes that pass between Python and a browser, and what a model takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from webinfer.core.errors import UnknownOutput

DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "float64": np.dtype("<f8"),
    "int8": np.dtype("i1"),
    "uint8": np.dtype("u1"),
    "int16": np.dtype("<i2"),
    "uint16": np.dtype("<u2"),
    "int32": np.dtype("<i4"),
    "uint32": np.dtype("<u4"),
    "int64": np.dtype("<i8"),
    "uint64": np.dtype("<u8"),
    "bool": np.dtype("bool"),
    "string": np.dtype(object),  # each a str
}

_REMEDY = "export the model so that it gives tensors (scikit-learn's converter: options={'zipmap': False})"
DERIVED = ("attention_mask", "token_type_ids", "position_ids")  # what follows from input_ids where it is left out
SOUND = ("input_values", "input_features")  # inputs that hold samples, or what is made of them


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: Its name in the graph.
        dtype: A key of ``DTYPES``.
        shape: Each dimension's size, its symbolic name, or ``None`` where the model says nothing.
        ranked: Whether the model states a shape at all. Where it does not, ``shape`` is empty and any rank fits.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]
    ranked: bool = True

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape) if self.ranked else "..."
        return f"{self.name}: {self.dtype}[{sizes}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives, in the graph's order.

    Attributes:
        inputs: Its inputs.
        outputs: The outputs that can pass from a browser: tensors of a dtype in ``DTYPES``.
        others: Its other outputs, by name, with what they are: ``sequence``, say, or ``tensor of bfloat16``.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    others: tuple[tuple[str, str], ...] = ()
    # What the fast path compares, made once: it runs for every request.
    plan: tuple[tuple[str, np.dtype[Any], tuple[int | str | None, ...]], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        plan = tuple(
            (spec.name, DTYPES[spec.dtype], spec.shape)
            for spec in self.inputs
            if spec.ranked and spec.dtype != "string"
        )
        object.__setattr__(self, "plan", plan)

    @property
    def required(self) -> tuple[TensorSpec, ...]:
        """The inputs that the caller must give: all but those that follow from ``input_ids``."""
        if not any(spec.name == "input_ids" for spec in self.inputs):
            return self.inputs
        return tuple(spec for spec in self.inputs if spec.name not in DERIVED)


def refuse_unknown(outputs: Sequence[str], signature: Signature, model: str) -> None:
    """Refuse outputs that a model does not have.

    Args:
        outputs: Names of the outputs wanted.
        signature: The model's.
        model: The model's name, for the error.

    Raises:
        UnknownOutput: One is not among its own.
    """
    known = [spec.name for spec in signature.outputs]
    others = dict(signature.others)
    for name in outputs:
        if name in others:
            raise UnknownOutput(
                f"The output {name!r} of {model} is a {others[name]}, which cannot pass from a browser: ask for others "
                f"with outputs={known}, or {_REMEDY}.",
                output=name,
                known=known,
            )
        if name not in known:
            raise UnknownOutput(
                f"{model} has no output {name!r}. It has: {', '.join(known)}.", output=name, known=known
            )
