"""What was learned of models on this machine, kept from one process to the next: a small file for each model,
where there is no database.

A record holds for one machine and one way to share its cores out among lanes; others lie beside it in the same file.
"""

from __future__ import annotations

import json
import logging
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from webinfer.core.cache import cache_dir
from webinfer.core.errors import OptionError
from webinfer.pool.learning.bandit import Arm, Record
from webinfer.pool.learning.lane_count import LaneTimes, Measured, Timed

log = logging.getLogger("webinfer.metrics.history")

_FORMAT = 1
_DAMAGED = (OSError, ValueError, TypeError, KeyError, AttributeError, OptionError)  # or not to be had
_PATIENCE = 5.0  # seconds to wait for another process that writes


class History(Protocol):
    """What was learned of models on this machine: in files here, or in the rows of a database (``recorded``)."""

    def read(self, model: str) -> dict[Arm, Record]:
        """Return what is known of a model, by its hash. This blocks, and does not fail."""
        ...

    def scaling(self, model: str, arm: Arm) -> Measured:
        """Return what an item took on an arm with how many lanes at work, as far as that was measured, by the size of
        requests, and what benchmarks measured. This blocks, and does not fail."""
        ...

    def note(self, model: str, arm: Arm, record: Record) -> None:
        """Take in what is known of an arm by now; this does not block."""
        ...

    def note_lanes(self, model: str, arm: Arm, size: int, times: LaneTimes) -> None:
        """Take in what is known of the lanes of an arm by now, for requests of a size; this does not block."""
        ...

    def flush(self) -> None:
        """Keep what was noted. This blocks, and does not fail."""
        ...


class FileHistory:
    """The files in the cache directory's ``learned/``. Reading and flushing block; neither fails, since what is lost is
    learned again.

    Args:
        setting: What the latencies depend on besides the machine: lanes and threads.
        directory: Another place for them.
    """

    def __init__(self, setting: str, directory: Path | None = None) -> None:
        self._directory = directory
        self._place = f"{platform.node()} {platform.machine()} {os.cpu_count()} cores, {setting}"
        self._noted: dict[str, dict[Arm, Record]] = {}  # by model's hash, since the last flush
        self._lanes: dict[str, dict[tuple[Arm, int], LaneTimes]] = {}  # likewise, by arm and size of requests

    def __repr__(self) -> str:
        return f"<FileHistory {self._place}>"

    def read(self, model: str) -> dict[Arm, Record]:
        """Return what is known of a model, by its hash."""
        try:
            kept = _load(self._path(model))["places"].get(self._place, [])
            return {Arm(*entry["arm"]): Record(**entry["record"]) for entry in kept}
        except _DAMAGED as error:
            log.warning("what was learned of %s cannot be read: %s", model[:12], error)
            return {}

    def scaling(self, model: str, arm: Arm) -> Measured:
        """Return what an item took on an arm with how many lanes at work, by the size of requests."""
        try:
            kept = _load(self._path(model)).get("lanes", {}).get(self._place, [])
            return {size: times for (on, size), times in map(_lanes_of, kept) if on == arm}
        except _DAMAGED as error:
            log.warning("what was learned of %s cannot be read: %s", model[:12], error)
            return {}

    def note(self, model: str, arm: Arm, record: Record) -> None:
        """Take in what is known of an arm by now; this does not block."""
        self._noted.setdefault(model, {})[arm] = record

    def note_lanes(self, model: str, arm: Arm, size: int, times: LaneTimes) -> None:
        """Take in what is known of the lanes of an arm by now, for requests of a size; this does not block."""
        self._lanes.setdefault(model, {})[arm, size] = times

    def flush(self) -> None:
        """Keep what was noted. What is known of other arms stays."""
        while noted := {**self._noted, **self._lanes}:
            model = next(iter(noted))
            self._keep(model, self._noted.pop(model, {}), self._lanes.pop(model, {}))

    def _keep(self, model: str, records: dict[Arm, Record], lanes: dict[tuple[Arm, int], LaneTimes]) -> None:
        try:
            path = self._path(model)
            with FileLock(f"{path}.lock", timeout=_PATIENCE):
                self._write(path, records, lanes)
        except _DAMAGED as error:  # a lock's Timeout is an OSError
            log.warning("what was learned of %s cannot be kept: %s", model[:12], error)

    def _write(self, path: Path, records: dict[Arm, Record], lanes: dict[tuple[Arm, int], LaneTimes]) -> None:
        try:
            whole = _load(path)
            kept = {Arm(*entry["arm"]): entry["record"] for entry in whole["places"].get(self._place, [])}
            known = dict(map(_lanes_of, whole.get("lanes", {}).get(self._place, [])))
        except (ValueError, TypeError, KeyError, AttributeError):
            whole, kept, known = {"places": {}}, {}, {}  # damaged, or of a later version: begun anew
        kept |= {arm: asdict(record) for arm, record in records.items()}
        whole["places"][self._place] = [{"arm": list(arm), "record": record} for arm, record in kept.items()]
        if known := known | lanes:
            whole.setdefault("lanes", {})[self._place] = [_entry(*place, times) for place, times in known.items()]
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps({"format": _FORMAT, **whole}, indent=1), encoding="utf-8")
        partial.replace(path)

    def _path(self, model: str) -> Path:
        directory = self._directory or cache_dir() / "learned"
        directory.mkdir(exist_ok=True)
        return directory / f"{model}.json"


def _load(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"places": {}}
    if kept["format"] != _FORMAT:
        raise ValueError(f"its format is {kept['format']}, not {_FORMAT}")
    whole: dict[str, Any] = kept
    return whole


def _entry(arm: Arm, size: int, times: LaneTimes) -> dict[str, Any]:
    """Return what is known of an arm's lanes as it is kept."""
    timed = [
        {"lanes": lanes, "record": asdict(record), "at": at} for lanes, (record, at) in sorted(times.timed.items())
    ]
    return {"arm": list(arm), "size": size, "timed": timed}


def _lanes_of(entry: dict[str, Any]) -> tuple[tuple[Arm, int], LaneTimes]:
    """Read what ``_entry`` made."""
    timed = {each["lanes"]: Timed(Record(**each["record"]), each["at"]) for each in entry["timed"]}
    return (Arm(*entry["arm"]), entry["size"]), LaneTimes(timed)
