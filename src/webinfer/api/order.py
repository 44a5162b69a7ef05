"""What a caller asks for when it loads a model, and what may replace it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from webinfer.core.errors import OptionError
from webinfer.core.options import PLATFORMS, REQUIREMENTS, Platform, Requirement, one_of
from webinfer.core.progress import ProgressCallback
from webinfer.models.files.package import ModelPackage
from webinfer.models.files.variants import check
from webinfer.quantization import following


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller asks for; see ``AsyncAccelerator.load``.

    Attributes:
        reference: What names the model.
        platform: Backend, or ``auto``; ``None`` takes the accelerator's option.
        precision: Precision to begin with; ``None`` for the full one.
        fallback: Whether another backend or precision may be taken.
        progress: Called with the bytes fetched, or quantized, so far.
        part: Which part of a model that comes in several files.
        require: What the caller insists on; ``None`` takes the accelerator's option.
        varying: Inputs whose shape differs from run to run.
        lost: Why the precision is not the one that the caller asked for; ``None`` if it is.
        others: Precisions that may be taken in place of the first one.
    """

    reference: str | Path
    platform: Platform | None = None
    precision: str | None = None
    fallback: bool = False
    progress: ProgressCallback | None = None
    part: str | None = None
    require: Requirement | None = None
    varying: Collection[str] = ()
    lost: str | None = None
    others: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.platform is not None:
            one_of("platform", self.platform, PLATFORMS)
        if self.require is not None:
            one_of("require", self.require, REQUIREMENTS)

    def lowered(self, precision: str, why: str) -> Order:
        """Return the same in another precision.

        Args:
            precision: The precision to load instead.
            why: Why, for the results to say.
        """
        others = tuple(other for other in self.others if other != precision)
        return replace(self, precision=precision, others=others, lost=f"{self.lost}; {why}" if self.lost else why)

    def beginning_with(self, precision: str, package: ModelPackage) -> Order:
        """Return the same with another of its precisions first.

        Args:
            precision: The one to begin with.
            package: The model in the precision that was the first; it becomes the next one.
        """
        others = dict.fromkeys((package.precision, *self.others))
        return replace(self, precision=precision, others=tuple(name for name in others if name != precision))

    def instead(self, package: ModelPackage) -> str | None:
        """Return the precision to try if this one cannot run.

        Args:
            package: The model in the precision that cannot be run.

        Returns:
            The precision; ``None`` if no other may be taken.
        """
        if self.others:
            return self.others[0]
        return following(package.precision) if self.fallback and self.precision is not None else None

    def finer(self, package: ModelPackage) -> tuple[str, ...]:
        """Return the precisions that may replace one whose answers are wrong: the next one, then the full one.

        Args:
            package: The model whose answers are wrong.
        """
        successor = following(package.precision) if self.precision is not None else None
        return tuple(dict.fromkeys(precision for precision in (successor, "fp32") if precision is not None))


def allowed(precision: str | Sequence[str] | None) -> tuple[str | None, tuple[str, ...]]:
    """Return the precision to begin with, and the others that the caller allows.

    Args:
        precision: As ``AsyncAccelerator.load`` takes it.

    Raises:
        OptionError: The list is empty, or names a precision twice or one that does not exist.
    """
    if precision is None or isinstance(precision, str):
        return precision, ()
    if not precision or len(set(precision)) < len(precision):
        raise OptionError(f"precision must name one or several different ones, not {precision!r}.", option="precision")
    for name in precision:
        check(name)
    return precision[0], tuple(precision[1:])
