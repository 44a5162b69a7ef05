"""Whether a browser computes what native onnxruntime computes: the canary inputs, the outcome, and where it is kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from webinfer.accuracy.comparison import Deviation, Limits
from webinfer.core.cache import cache_dir
from webinfer.core.tensors import DTYPES, Signature, TensorSpec
from webinfer.models.preprocessing.vocabulary import Vocabulary

SEEDS = (0, 1)
_SEQUENCE, _PAST = 16, 3  # the smallest bucket of a sequence, which is loaded anyway; tokens that a cache holds
_VERSION = 1  # raised when canaries or measures change
_IDS = ("input_ids", "decoder_input_ids")


class Measure(NamedTuple):
    """One measure of a comparison: its name, value and limit, and whether it is within that."""

    name: str
    value: float | None
    limit: float | None
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How the canary inputs came out in a browser, against native onnxruntime.

    Attributes:
        combination: What was compared: the model's hash, precision, backend, engine, versions and adapter.
        deviations: The worst of each output over the canaries.
        reason: Why there are none: the canaries failed natively, or how they failed in the browser.
        broken: Whether they failed in the browser.
        reference: Version of native onnxruntime.
        seconds: What the comparison took.
        at: When that was, in seconds since 1970.
    """

    combination: Mapping[str, str]
    deviations: tuple[Deviation, ...] = ()
    reason: str | None = None
    broken: bool = False
    reference: str = ""
    seconds: float = 0.0
    at: float = field(default_factory=time.time)

    @property
    def tried(self) -> bool:
        """Whether the browser's answers were compared at all."""
        return self.broken or bool(self.deviations)

    def fault(self, limits: Limits) -> str | None:
        """Say what is wrong with the answers, or ``None``."""
        if self.broken:
            return self.reason
        return next((fault for each in self.deviations if (fault := each.beyond(limits))), None)

    def measures(self, limits: Limits) -> Iterator[Measure]:
        """Yield what was measured, of each measure the worst output, with its limit."""
        if self.broken:
            yield Measure("broken", None, None, False)
        for name, limit, rises in (
            ("cosine", limits.cosine, True),
            ("error", limits.error, False),
            ("top", limits.top, True),
            ("equal", limits.equal, True),
            ("strange", 0, False),
        ):
            known = [value for each in self.deviations if (value := each.measure(name)) is not None]
            if known:
                value = min(known) if rises else max(known)
                yield Measure(name, value, limit, value >= limit if rises else value <= limit)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "combination": dict(self.combination),
            "tried": self.tried,
            "deviations": [each.to_dict() for each in self.deviations],
            "reason": self.reason,
            "broken": self.broken,
            "reference": self.reference,
            "seconds": self.seconds,
            "at": self.at,
        }

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Accuracy:
        """Read what ``to_dict`` returned.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        deviations = tuple(Deviation(**each) for each in kept["deviations"])
        names = ("combination", "reason", "broken", "reference", "seconds", "at")
        return cls(deviations=deviations, **{name: kept[name] for name in names})


def recall(combination: Mapping[str, str]) -> Accuracy | None:
    """Return what is known of a combination, or ``None``."""
    try:
        kept = Accuracy.of(json.loads(_place(combination).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # Missing, unreadable or corrupt: it is found out again.
    return kept if kept.combination == dict(combination) else None


def remember(accuracy: Accuracy) -> None:
    """Keep an outcome; where the cache cannot be written, it is found out again next time."""
    place = _place(accuracy.combination)
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=place.parent, suffix=".part", delete=False) as file:
            json.dump(accuracy.to_dict(), file, indent=1)
        Path(file.name).replace(place)  # in one step, so that a reader never sees half of it


def _place(combination: Mapping[str, str]) -> Path:
    stated = json.dumps({**combination, "version": _VERSION}, sort_keys=True)
    return cache_dir() / "accuracy" / f"{hashlib.sha256(stated.encode()).hexdigest()}.json"


def canaries(signature: Signature, vocabulary: Vocabulary, length: int = _SEQUENCE) -> list[dict[str, NDArray[Any]]]:
    """Make requests up, of one row each: token ids, masks of ones, random floats of two scales.

    ``length`` is that of what has no fixed one.
    """
    cached = any("past" in str(size).lower() for spec in signature.inputs for size in spec.shape)
    past = _PAST if cached else 0
    return [{spec.name: _canary(spec, seed, vocabulary, past, length) for spec in signature.inputs} for seed in SEEDS]


def _canary(spec: TensorSpec, seed: int, vocabulary: Vocabulary, past: int, length: int) -> NDArray[Any]:
    dtype = DTYPES[spec.dtype]
    shape = tuple(_size(at, each, length) for at, each in enumerate(spec.shape))
    random = np.random.default_rng([seed, len(spec.name)])
    if dtype.kind == "f":
        return ((1 + seed) * random.standard_normal(shape)).astype(dtype)
    if dtype.kind == "b" or "mask" in spec.name:
        return np.ones(shape, dtype)
    if spec.name in _IDS:
        return random.integers(1, min(vocabulary.size or 100, 100), shape).astype(dtype)
    if spec.name == "position_ids":
        return np.broadcast_to(np.arange(past, past + shape[-1], dtype=dtype), shape).copy()
    return np.zeros(shape, dtype)


def _size(at: int, dimension: int | str | None, length: int) -> int:
    if isinstance(dimension, int):
        return dimension
    name = (dimension or "").lower()
    if at == 0 or "batch" in name:
        return 1
    if "total" in name or "+" in name:
        return _PAST + length
    return _PAST if "past" in name else length
