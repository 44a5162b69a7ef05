"""Rows of sessions: what requests have in common, written once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from operator import attrgetter, itemgetter
from typing import Any

from webinfer.core.capabilities import Verdict
from webinfer.core.placement import LaneId
from webinfer.inference.result import ModelDescription, Result
from webinfer.inference.route import Decision
from webinfer.telemetry.counters.bounded import Ended, LruMap
from webinfer.telemetry.database.store import Store
from webinfer.telemetry.database.writer import TableRow

Description = tuple[Any, ...]
"""What describes a session: the values of the result's fields that its requests have in common."""

_MEASURED = ("times", "items", "batch", "attempts")  # they differ from request to request
_ELSEWHERE = ("outputs", "model_cid", "accuracy", "decision")  # they are not kept, or not with what requests share
_FIELDS = tuple(field.name for field in fields(Result) if field.name not in (*_MEASURED, *_ELSEWHERE))
_PLAIN = (str, int, float, bool, type(None), Verdict)
_COLUMNS = {"model": "model_name", "model_sha256": "model", "browser": "browser_name"}  # of sessions, by field

describe: attrgetter[Description] = attrgetter(*_FIELDS)
"""Returns the description of a result's session."""

_place = itemgetter(_FIELDS.index("model_sha256"), _FIELDS.index("lane"))

_LANES, _SESSIONS, _MODELS = 1000, 1000, 10_000  # that rows are known of; sessions of each lane


class _LaneSessions:
    """Ids of a lane's sessions, by their descriptions, and the last one of each model."""

    __slots__ = ("last", "sessions")

    def __init__(self) -> None:
        self.last: LruMap[str, tuple[Description, int]] = LruMap(_SESSIONS)
        self.sessions: LruMap[Description, int] = LruMap(_SESSIONS)


class SessionRows:
    """Finds the row of a request's session, and writes it where it is new.

    Args:
        store: Where rows go.
        run: Id of the run's row.

    """

    def __init__(self, store: Store, run: int) -> None:
        self._store = store
        self._run = run
        self._lanes: LruMap[str | None, _LaneSessions] = LruMap(_LANES)
        self._ended = Ended(self._lanes)
        self._browsers: dict[str, int | None] = {}  # rows, by the lanes as results show them
        self._ended_browsers = Ended(self._browsers)
        self._cached: LruMap[str, bool] = LruMap(_MODELS)

    def __repr__(self) -> str:
        return f"<SessionRows of {len(self._lanes)} lanes>"

    def cached(self, sha256: str, whole: bool) -> None:
        """Note of a model from IPFS whether nothing of it had to be fetched.

        Args:
            sha256: Hash of the model.
            whole: Whether all of it was in the store.
        """
        if sha256 not in self._cached:
            self._cached.put(sha256, whole)

    def lane_started(self, lane: LaneId, browser: int | None) -> None:
        """Note in which browser a lane started, by that one's row.

        Args:
            lane: The lane.
            browser: Id of the browser's row.
        """
        self._browsers[str(lane)] = browser

    def lane_ended(self, lane: LaneId) -> None:
        """Note that a lane ended: its sessions are forgotten when more have ended after it.

        Args:
            lane: The lane.
        """
        self._ended.add(str(lane))
        self._ended_browsers.add(str(lane))

    def find(self, now: float, description: Description, decision: Decision | None = None) -> int | None:
        """Return the id of a session's row.

        Args:
            now: Seconds since 1970.
            description: What describes the session.
            decision: Why it runs there, which is written with a new row.

        Returns:
            The id; ``None`` if there is no room for a new row.
        """
        model, lane = _place(description)
        known = self._lanes.use(lane) or self._lanes.put(lane, _LaneSessions())
        # Most requests are like the one before them. Comparing costs less than hashing a whole description.
        last = known.last.get(model)
        if last is not None and last[0] == description:
            return last[1]
        key = tuple(value if isinstance(value, _PLAIN) else repr(value) for value in description)
        session = known.sessions.use(key)
        if session is None:
            session = self._store.next_id()
            if not self._store.put(self._write, (now, session, description, decision)):
                return None
            known.sessions.put(key, session)
        known.last.put(model, (description, session))
        return session

    def _write(self, payload: tuple[float, int, Description, Decision | None]) -> Iterable[TableRow]:
        """Yield a session's row. It is called on the writer's thread."""
        now, session, description, decision = payload
        values = {_COLUMNS.get(name, name): value for name, value in zip(_FIELDS, description, strict=True)}
        verdict = values["verdict"]
        if verdict is not None:
            values |= {"verdict": verdict.kind, "evidence": verdict.evidence}
        values["decision"] = decision.to_dict() if decision is not None else None
        values["compute_shader_optimized"] = values["audio_shader"] is not None
        values["ipfs_cache_hit"] = self._cached.get(values["model"])
        values["precompile_shaders"] = bool(values["warmed"]) and values["backend"] == "webgpu"
        browser = self._browsers.get(values["lane"])
        yield self._store.row("sessions", id=session, run=self._run, timestamp=now, browser=browser, **values)


def describe_failed(model: ModelDescription, lane: str | None) -> Description:
    """Return the description of the session of a request that failed; what it did not come to is ``None``.

    Args:
        model: The model that it was for.
        lane: Id of the lane that it was sent to last; ``None`` where it was sent to none.
    """
    package = model.package
    known: Mapping[str, Any] = {
        "model": package.name,
        "model_sha256": package.sha256,
        "family": package.family,
        "weights": package.weights,
        "backend": model.backend,
        "precision": model.precision,
        "lane": lane,
    }
    return tuple(known.get(name) for name in _FIELDS)
