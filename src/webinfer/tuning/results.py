"""The results of tuning, from one process to the next: a small file for each model, and rows of the database.

A result holds for one machine and one major version of the winner's browser. It is dropped when that browser has
another version.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
from filelock import FileLock

from webinfer.core.cache import cache_dir
from webinfer.core.errors import OptionError
from webinfer.core.json import write_json
from webinfer.tuning.tuning import Tuning

log = logging.getLogger("webinfer.tuning")

_FORMAT = 1
_DAMAGED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)  # what reading a damaged file may raise
_PATIENCE = 5.0  # seconds to wait for another process that writes


class TuningRows(Protocol):
    """Results in a database; telemetry implements it."""

    def add(self, tuning: Tuning) -> None:
        """Write a result in the background.

        Args:
            tuning: The result.
        """

    def find(self, model: str, machine: str) -> Sequence[Tuning]:
        """Return the results for a model on a machine, with those of benchmarks. It waits for the disk.

        Args:
            model: Hash of the full-precision model.
            machine: Id of the machine.
        """


class TuningResults:
    """Stores results of contests, and finds those that still hold. Its methods wait for the disk, and never fail.

    Args:
        directory: Directory of the files; ``None`` is ``tuned/`` in the cache directory.

    Attributes:
        rows: The database that has results too; ``None`` for none.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.rows: TuningRows | None = None
        self._directory = directory

    def __repr__(self) -> str:
        return f"<TuningResults {self._directory or 'in the cache directory'}{' and a database' if self.rows else ''}>"

    def keep(self, tuning: Tuning, variants: Collection[str] = ()) -> None:
        """Store a result, in place of an earlier one of the same model on the same machine in the same browser.

        Args:
            tuning: The result of a contest.
            variants: Hashes of the model in other precisions that its author ships. They find the result, too.
        """
        if self.rows is not None:
            self.rows.add(tuning)

        def changed(known: list[Tuning]) -> list[Tuning]:
            return [*(earlier for earlier in known if _key(earlier) != _key(tuning)), tuning]

        for model in {tuning.model, *variants}:
            self._change(model, changed)

    def find(self, model: str, machine: str) -> list[Tuning]:
        """Return the results for a model on a machine, the newest first, for any version of a browser.

        A benchmark counts if there is no contest, or if it measured the winner of the newest contest. Otherwise it
        could not show that the winner is slower.

        Args:
            model: SHA-256 of the full-precision model.
            machine: Id of the machine.
        """
        known = [tuning for tuning in self._read(model) if tuning.machine == machine]
        if self.rows is not None:
            known += [tuning for tuning in self.rows.find(model, machine) if tuning not in known]
        known.sort(key=lambda tuning: tuning.at, reverse=True)
        contests = [tuning for tuning in known if tuning.source == "contest"]
        return [tuning for tuning in known if tuning.source == "contest" or _counts(tuning, contests)]

    def recall(self, model: str, machine: str, versions: Mapping[str, str]) -> Tuning | None:
        """Return the newest result that holds for some browsers, and drop results that no longer hold.

        Args:
            model: SHA-256 of the full-precision model.
            machine: Id of the machine.
            versions: The engine's version in each browser that may be used, by name; empty if it is not known.

        Returns:
            The result; ``None`` if there is none.
        """
        known = self.find(model, machine)
        stale = {_key(tuning) for tuning in known if tuning.is_stale(versions)}
        if any(_key(tuning) in stale for tuning in self._read(model)):
            log.info("%s: the browser is another version, so what was tuned is dropped", model[:12])
            self._change(model, lambda stored: [tuning for tuning in stored if _key(tuning) not in stale])
        holding = (tuning for tuning in known if not tuning.is_stale(versions))
        return next((tuning for tuning in holding if tuning.best(versions, lambda _: True) is not None), None)

    def _path(self, model: str) -> Path:
        return (self._directory or cache_dir() / "tuned") / f"{model}.json"

    def _read(self, model: str) -> list[Tuning]:
        try:
            return _parse(self._path(model).read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, OptionError, *_DAMAGED) as error:
            log.warning("what was tuned of %s cannot be read: %s", model[:12], error)
            return []

    def _change(self, model: str, change: Callable[[list[Tuning]], list[Tuning]]) -> None:
        """Change a model's results. A damaged file, or one of a later version, is replaced."""
        try:
            path = self._path(model)
            path.parent.mkdir(parents=True, exist_ok=True)
            # Read and write under one lock, so that the results of two processes do not replace each other.
            with FileLock(f"{path}.lock", timeout=_PATIENCE):
                tunings = [tuning.to_dict() for tuning in change(self._read(model))]
                write_json(path, {"format": _FORMAT, "tunings": tunings}, indent=1)
        except (OSError, OptionError) as error:  # a lock's Timeout is an OSError
            log.warning("what was tuned of %s cannot be kept: %s", model[:12], error)


def _parse(contents: bytes) -> list[Tuning]:
    """Return the results in a file.

    Raises:
        ValueError: The file has something else, or another format.
    """
    stored: dict[str, Any] = json.loads(contents)
    if stored["format"] != _FORMAT:
        raise ValueError(f"its format is {stored['format']}, not {_FORMAT}")
    return msgspec.convert(stored["tunings"], list[Tuning])


def _key(tuning: Tuning) -> tuple[str, str, str]:
    """Return the key of a result: one of the same key replaces it."""
    return tuning.machine, tuning.model, tuning.winner.browser


def _counts(benchmark: Tuning, contests: Sequence[Tuning]) -> bool:
    """Return whether a benchmark counts beside some contests, of which the newest is the first."""
    if not contests:
        return True
    return contests[0].winner.place in {standing.candidate.place for standing in benchmark.standings}
