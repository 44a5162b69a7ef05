"""The labels of counts, and the names of models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from webinfer.telemetry.counters.bounded import LruMap

OTHER = "other"
"""The label of models beyond the ``LABELS`` first ones, and of those without a name."""

LABELS = 100
"""Models that have a label of their own: each is a time series for ever in whatever reads them."""

_HASHES = 10_000  # models whose name is remembered


class Labels(NamedTuple):
    """The labels of a series.

    ``model`` is a hash where models are counted and a label where Prometheus reads. ``browser`` is the browser's name;
    it is empty for a request that no browser was asked for.
    """

    model: str
    precision: str
    backend: str
    browser: str


@dataclass(slots=True)
class ModelName:
    """What a model is called.

    Attributes:
        name: Its name now.
        cid: CID of its files.
        precision: Precision of its weights.
        label: Its name in time series: the first one that it had, or ``OTHER``.
    """

    name: str
    cid: str | None
    precision: str | None
    label: str


class ModelNames:
    """Names of models, by the hash of their files; several may have one name."""

    def __init__(self) -> None:
        self._names: LruMap[str, ModelName] = LruMap(_HASHES)
        self._labels: set[str] = set()

    def __repr__(self) -> str:
        return f"<ModelNames {len(self._names)} labels={len(self._labels)}>"

    def put(self, sha256: str, name: str, cid: str | None, precision: str | None) -> None:
        """Remember what a model is called.

        Args:
            sha256: Hash of the model.
            name: Its name.
            cid: CID of its files, where it is known.
            precision: Precision of its weights.
        """
        known = self._names.use(sha256)
        label = known.label if known is not None else OTHER
        if label == OTHER and (name in self._labels or len(self._labels) < LABELS):
            self._labels.add(name)
            label = name
        self._names.put(sha256, ModelName(name, cid, precision, label))

    def get(self, sha256: str) -> ModelName | None:
        """Return what a model is called, where that is known.

        Args:
            sha256: Hash of the model.
        """
        return self._names.get(sha256)

    def label(self, sha256: str) -> str:
        """Return a model's name in time series.

        Args:
            sha256: Hash of the model.
        """
        known = self._names.get(sha256)
        return OTHER if known is None else known.label

    def short(self, sha256: str) -> str:
        """Return a model's name, or the start of its hash where it is not known.

        Args:
            sha256: Hash of the model.
        """
        known = self._names.get(sha256)
        return sha256[:12] if known is None else known.name
