"""Precisions that a model can be brought to here, and what each of them means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from webinfer.core.errors import OptionError

Method = Literal["nearest", "searched", "calibrated"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """How weights of one precision are stored.

    Attributes:
        name: ``q4``, as ``variants.PRECISIONS`` has it.
        bits: Bits of a weight: the number of levels is two to this power.
        stored: Bits that a weight takes in the file, which the runtime's operators decide.
        table_bits: Bits of the tables that tokens are looked up in.
        block: Weights that share a scale and a zero point.
        half: What is not quantized becomes float16.
        mixed: Each layer gets 8 or 4 bits, by what it loses.
        dynamic: Activations are quantized too, while it runs.
    """

    name: str
    bits: int
    stored: int = 0
    table_bits: int = 0
    block: int = 32
    half: bool = False
    mixed: bool = False
    dynamic: bool = False

    @property
    def is_blocked(self) -> bool:
        """Whether weights become blocks of a few bits."""
        return 2 <= self.bits <= 8 and not self.dynamic


# Tables get 4 bits at least: a token's row is not averaged with others', so two bits of it are noise. Three bits lie in
# fours, for the runtime's operator knows 8, 4 and 2.
SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("fp32", 32, 32),
        Scheme("fp16", 16, 16, half=True),
        Scheme("q8", 8, 8, 8),
        Scheme("int8", 8, 8, 8, dynamic=True),
        Scheme("q4", 4, 4, 4),
        Scheme("q4f16", 4, 4, 4, half=True),
        Scheme("q4-mixed", 4, 4, 4, mixed=True),
        Scheme("q3", 3, 4, 4),
        Scheme("q2", 2, 2, 4),
    )
}
_BY_BITS = {32: "fp32", 16: "fp16", 8: "q8", 4: "q4", 3: "q3", 2: "q2"}
_NEXT = {
    "fp16": "fp32",
    "q4f16": "q4",
    "int8": "q8",
    "q2": "q3",
    "q3": "q4",
    "q4": "q8",
    "q4-mixed": "q8",
    "q8": "fp32",
}


def scheme_of(name: str) -> Scheme:
    """Return the scheme of a name.

    Args:
        name: Name of the precision.

    Raises:
        OptionError: There is none.
    """
    if name not in SCHEMES:
        raise OptionError(f"A model can be brought to {', '.join(SCHEMES)}, not to {name!r}.", option="precision")
    return SCHEMES[name]


def following(name: str) -> str | None:
    """Return the precision to take where a backend cannot run one of this name; ``None`` after full precision.

    Args:
        name: Name of the precision.
    """
    return _NEXT.get(name)


def precision_of(quantization: Mapping[str, Any] | None) -> str | None:
    """Read the guide's ``quantization``: ``{"bits": 16 | 8 | 4 | 3 | 2, "mixed_precision": bool}``.

    Mixed precision means ``q4-mixed``. With 8 bits it changes nothing, since every layer has 8 already. Other bits
    cannot be mixed.

    Args:
        quantization: The guide's settings; ``None`` for none.

    Returns:
        A precision's name; ``None`` for the model as it is. 16 bits alone mean that too: they are the guide's default.

    Raises:
        OptionError: A key is unknown, or its value cannot be.
    """
    given = dict(quantization or {})
    bits, mixed = given.pop("bits", 16), given.pop("mixed_precision", False)
    if given:
        raise OptionError(
            f"quantization has bits and mixed_precision, not {', '.join(map(repr, given))}.", option="quantization"
        )
    if isinstance(bits, bool) or bits not in _BY_BITS:
        known = ", ".join(map(str, _BY_BITS))
        raise OptionError(f"quantization's bits must be one of {known}, not {bits!r}.", option="quantization")
    if not isinstance(mixed, bool):
        raise OptionError(f"quantization's mixed_precision is true or false, not {mixed!r}.", option="quantization")
    if mixed and bits not in (4, 8):
        raise OptionError(
            f"Mixed precision gives layers 4 or 8 bits: it goes with bits=4, not {bits}.", option="quantization"
        )
    if bits >= 16 and not mixed:
        return None if bits == 16 else "fp32"
    return "q4-mixed" if mixed and bits == 4 else _BY_BITS[bits]
