"""Whether a browser computes what native onnxruntime computes: the outcome, and where it is kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from webinfer.accuracy.comparison import Deviation, Limits, fault
from webinfer.core.cache import cache_dir
from webinfer.core.json import write_json

_VERSION = 5  # raised when canaries or measures change


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
        passing: Whether another comparison may come to more: a lane was lost, or other lanes answered.
        skipped: Canaries that were not run, because those before them took too long.
        reference: Version of native onnxruntime.
        seconds: What the comparison took.
        at: When that was, in seconds since 1970.
    """

    combination: Mapping[str, str]
    deviations: tuple[Deviation, ...] = ()
    reason: str | None = None
    broken: bool = False
    passing: bool = False
    skipped: int = 0
    reference: str = ""
    seconds: float = 0.0
    at: float = field(default_factory=time.time)

    def __str__(self) -> str:
        return self.status

    @property
    def status(self) -> str:
        """``checked``, or ``unchecked: `` and why."""
        return "checked" if self.tried else f"unchecked: {self.reason}"

    @property
    def tried(self) -> bool:
        """Whether the browser's answers were compared at all."""
        return self.broken or bool(self.deviations)

    @property
    def caveat(self) -> str | None:
        """What the comparison left out, for the results to say; ``None`` where it is whole."""
        if not self.skipped:
            return None
        return f"{self.skipped} of the canaries were not compared, because this backend takes seconds for each"

    def fault(self, limits: Limits) -> str | None:
        """Return what is wrong with the answers, or ``None``."""
        if self.broken:
            return self.reason
        return fault(self.deviations, limits)

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
            known = [value for deviation in self.deviations if (value := deviation.measure(name)) is not None]
            if known:
                value = min(known) if rises else max(known)
                yield Measure(name, value, limit, value >= limit if rises else value <= limit)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "combination": dict(self.combination),
            "status": self.status,
            "tried": self.tried,
            "deviations": [deviation.to_dict() for deviation in self.deviations],
            "reason": self.reason,
            "broken": self.broken,
            "skipped": self.skipped,
            "reference": self.reference,
            "seconds": self.seconds,
            "at": self.at,
        }

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Accuracy:
        """Read what ``to_dict`` returned.

        Returns:
            The outcome that was written.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        deviations = tuple(Deviation(**deviation) for deviation in fields["deviations"])
        names = ("combination", "reason", "broken", "skipped", "reference", "seconds", "at")
        return cls(deviations=deviations, **{name: fields[name] for name in names})


def recall(combination: Mapping[str, str]) -> Accuracy | None:
    """Return what is known of a combination, or ``None``."""
    try:
        accuracy = Accuracy.of(json.loads(_place(combination).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # Missing, unreadable or corrupt: it is found out again.
    return accuracy if accuracy.combination == dict(combination) else None


def remember(accuracy: Accuracy) -> None:
    """Keep an outcome; where the cache cannot be written, it is found out again next time."""
    with contextlib.suppress(OSError):
        write_json(_place(accuracy.combination), accuracy.to_dict(), indent=1)


def recall_failure(combination: Mapping[str, str]) -> str | None:
    """Return how a combination failed in a run that another backend then answered; ``None`` where none is known.

    Args:
        combination: As for ``recall``.
    """
    try:
        fields = json.loads(_place(combination, "failure").read_text(encoding="utf-8"))
        return str(fields["reason"]) if fields["combination"] == dict(combination) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember_failure(combination: Mapping[str, str], reason: str) -> None:
    """Keep that a combination failed in a run that another backend then answered.

    Args:
        combination: As for ``recall``.
        reason: What happened, in words.
    """
    fields = {"combination": dict(combination), "reason": reason, "at": time.time()}
    with contextlib.suppress(OSError):
        write_json(_place(combination, "failure"), fields, indent=1)


def recall_evidence(combination: Mapping[str, str], kind: str) -> Mapping[str, Any] | None:
    """Return what else is known of a combination.

    Args:
        combination: The model's hash, precision, backend, engine, versions and adapter.
        kind: What the evidence is of, such as ``padding-rows``.

    Returns:
        Its fields; ``None`` where there is none that can be read.
    """
    try:
        evidence = json.loads(_place(combination, kind).read_text(encoding="utf-8"))
        known = evidence["combination"] == dict(combination) and evidence["evidence"] == kind
        return dict(evidence["fields"]) if known else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # Missing, unreadable or corrupt: it is found out again.


def remember_evidence(combination: Mapping[str, str], kind: str, fields: Mapping[str, Any]) -> None:
    """Keep what else was found out of a combination; where the cache cannot be written, it is found out again.

    Args:
        combination: The model's hash, precision, backend, engine, versions and adapter.
        kind: What the evidence is of, such as ``padding-rows``.
        fields: What was found out, ready for JSON.
    """
    evidence = {"combination": dict(combination), "evidence": kind, "fields": dict(fields), "at": time.time()}
    with contextlib.suppress(OSError):
        write_json(_place(combination, kind), evidence, indent=1)


def _place(combination: Mapping[str, str], kind: str = "accuracy") -> Path:
    stated = json.dumps({**combination, "version": _VERSION}, sort_keys=True)
    name = hashlib.sha256(stated.encode()).hexdigest()
    return cache_dir() / "accuracy" / (f"{name}.json" if kind == "accuracy" else f"{name}.{kind}.json")
