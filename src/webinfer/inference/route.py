"""Which backend and browser a model was given, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from webinfer.browsers.lane import Lane
from webinfer.core.options import Backend, ChosenBy, Platform, Requirement
from webinfer.models.files.package import ModelPackage
from webinfer.pool.plan.preferences import Route, explain
from webinfer.pool.pool import Pool
from webinfer.tuning.tuning import Standing, Tuning

Source = Literal["override", "table", "tuned"]


class Place(NamedTuple):
    """A place where a model may run."""

    browser: str
    backend: Backend
    precision: str = "fp32"

    def __str__(self) -> str:
        return f"{self.browser} {self.backend}" + ("" if self.precision == "fp32" else f" {self.precision}")


@dataclass(frozen=True, slots=True)
class Alternative:
    """A place where a model might have run.

    Attributes:
        place: The place.
        seconds: Median time of an item there; ``None`` where none was measured.
        runs: Measurements that this rests on.
        source: Where it is known from: the caller named it (``override``), the ``table`` does, or it was measured by
            the tuner (``tuned``).
        why_not: Why it was not taken; ``None`` for the one that was.
    """

    place: Place
    seconds: float | None
    runs: int
    source: Source
    why_not: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        values = {"seconds": self.seconds, "runs": self.runs, "source": self.source, "why_not": self.why_not}
        return {**self.place._asdict(), **values}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where requests of a model go, what else there was, and why not that.

    Attributes:
        taken: The place.
        source: Who decided: the caller (``override``), the ``table`` of preferences, or the tuner (``tuned``).
        reason: Why, in words.
        candidates: Every place that was considered: the one that was taken first, then the fastest.
        lanes: Lanes that the tuner found to be the best there; ``None`` where it did not choose their number.
    """

    taken: Place
    source: Source
    reason: str
    candidates: tuple[Alternative, ...]
    lanes: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "taken": self.taken._asdict(),
            "source": self.source,
            "reason": self.reason,
            "lanes": self.lanes,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a model runs, and why.

    Attributes:
        asked: The platform that was asked for.
        backend: The backend that was taken.
        reason: Why it is another backend or precision than was asked for; ``None`` where it is not.
        route: The browsers that may run it; ``None`` where there is only one.
        require: What the caller insists on.
        by: Who chose.
        tuning: The contest that chose; ``None`` where none did.
        standing: How the candidate that was taken did in it.
    """

    asked: Platform
    backend: Backend
    reason: str | None
    route: Route | None = None
    require: Requirement | None = None
    by: ChosenBy = "caller"
    tuning: Tuning | None = None
    standing: Standing | None = None

    def elsewhere(self, backend: Backend, reason: str | None = None) -> Choice:
        """Return the same for another backend, which no contest chose.

        Args:
            backend: The other backend.
            reason: Why it is taken; ``None`` leaves the reason as it was.
        """
        by: ChosenBy = "table" if self.by == "tuned" else self.by
        reason = self.reason if reason is None else reason
        return replace(self, backend=backend, reason=reason, by=by, tuning=None, standing=None)

    def because(self, why: str | None) -> Choice:
        """Return the same with one more reason, unless that is ``None``.

        Args:
            why: The reason, in words.
        """
        if why is None:
            return self
        return replace(self, reason=f"{self.reason}; {why}" if self.reason else why)

    def explain(self) -> str | None:
        """Return what was measured of the place; ``None`` where no contest chose it."""
        if self.tuning is None or self.standing is None:
            return None
        return self.tuning.explain(self.standing.candidate)


def combination(package: ModelPackage, backend: Backend, lane: Lane, *, graph: str, captured: bool) -> dict[str, str]:
    """Return what decides on a model's answers: itself, and everything that computes them.

    Args:
        package: The model.
        backend: Backend that runs it.
        lane: A lane that runs it, or one like it.
        graph: SHA-256 of the graph that lanes are given.
        captured: Whether runs may be recorded and replayed.
    """
    seen = lane.capabilities
    adapter = seen.adapter if backend == "webgpu" else None
    return {
        "model": package.sha256,
        "graph": graph,
        "precision": package.precision,
        "backend": backend,
        "engine": seen.engine,
        "engine_version": seen.engine_version,
        "platform": seen.platform,
        "runtime": lane.runtime,
        "adapter": f"{adapter} {adapter.driver}".strip() if adapter else "",
        **({"capture": "on"} if captured else {}),
    }


def join_combinations(combinations: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what decides on the answers of a model that runs in several places at once, in the order of its stages.

    Args:
        combinations: What decides in each place; one at least.
    """
    return {
        name: " + ".join(dict.fromkeys(combination[name] for combination in combinations)) for name in combinations[0]
    }


class Routings:
    """Why a model runs in each browser, where there are several.

    Args:
        pool: The pool.
        choice: Where the model is loaded.
        package: The model.
    """

    def __init__(self, pool: Pool, choice: Choice, package: ModelPackage) -> None:
        self._pool = pool
        self._choice = choice
        self._precision = package.precision
        self._subject = package.sha256, choice.backend, package.precision
        self._decisions: dict[str, Decision] = {}  # by the browser's id
        self._reasons: dict[str, str] = {}  # by the browser's id

    def of(self, lane: Lane) -> str | None:
        """Return why it runs in a lane's browser; ``None`` where there is only one, and no contest chose it.

        Args:
            lane: A lane that ran it.
        """
        route, standing = self._choice.route, self._choice.standing
        if standing is not None and standing.candidate.browser == lane.browser_name:
            return self._choice.explain()
        if route is None:
            return None
        if lane.id.browser not in self._reasons:
            missing = (route.wish,) if route.wish and route.wish not in route.names else ()
            passed = (*missing, *route.names[: route.names.index(lane.browser_name)])
            obstacles = [(name, self._pool.obstacle(name, self._subject)) for name in passed]
            self._reasons[lane.id.browser] = explain(route, lane.browser_name, obstacles)
        return self._reasons[lane.id.browser]

    def decision(self, lane: Lane) -> Decision:
        """Return why it runs in a lane's browser and on its backend, and what else there was.

        Args:
            lane: A lane that ran it.
        """
        decision = self._decisions.get(lane.id.browser)
        if decision is None:
            decision = self._decisions[lane.id.browser] = self._decide(lane)
        return decision

    def _decide(self, lane: Lane) -> Decision:
        choice = self._choice
        taken = Place(lane.browser_name, choice.backend, self._precision)
        browser = self.of(lane) or f"{lane.browser_name} is the only browser in use"
        asked = choice.by == "caller"
        if choice.tuning is not None and choice.standing is not None:
            return self._tuned(taken, browser, choice.tuning, choice.standing)
        backend = f"{choice.backend} was asked for" if asked else f"of its backends, the table prefers {choice.backend}"
        source: Source = "override" if asked else "table"
        others = (Alternative(place, None, 0, "table", why) for place, why in self._passed_over(lane, taken).items())
        return Decision(
            taken=taken,
            source=source,
            reason="; ".join((browser, choice.reason or backend)),
            candidates=(Alternative(taken, None, 0, source, None), *others),
        )

    def _tuned(self, taken: Place, reason: str, tuning: Tuning, standing: Standing) -> Decision:
        """Return what a contest found, each place by its best candidate."""
        candidate = standing.candidate
        is_there = Place(candidate.browser, candidate.backend, candidate.precision) == taken
        first = Alternative(
            taken, standing.seconds if is_there else None, standing.rounds if is_there else 0, "tuned", None
        )
        others: dict[Place, Alternative] = {}
        for other in tuning.standings:
            place = Place(other.candidate.browser, other.candidate.backend, other.candidate.precision)
            # Standings are sorted, so the first of a place is its best candidate.
            if place != taken and place not in others:
                others[place] = Alternative(place, other.seconds, other.rounds, "tuned", _why_not(other, standing))
        return Decision(
            taken=taken,
            source="tuned",
            reason="; ".join(filter(None, (reason, self._choice.reason))),
            candidates=(first, *others.values()),
            lanes=candidate.lanes,
        )

    def _passed_over(self, lane: Lane, taken: Place) -> dict[Place, str]:
        """Return the places that were not taken, and why."""
        choice, route = self._choice, self._choice.route
        here = [taken._replace(backend=backend) for backend in lane.capabilities.backends if backend != taken.backend]
        if choice.by == "caller":
            places = dict.fromkeys(here, f"the caller asked for {choice.asked}")
        else:
            places = dict.fromkeys(here, f"in {lane.browser_name}, the table prefers {choice.backend}")
        names = route.names if route else ()
        for name in names:
            if name != taken.browser:
                before = names.index(name) < names.index(taken.browser)
                obstacle = self._pool.obstacle(name, self._subject)
                places[taken._replace(browser=name)] = obstacle if before else f"the table prefers {taken.browser}"
        return places


def _why_not(other: Standing, taken: Standing) -> str:
    """Return why a contest's candidate was not taken."""
    if other.failed or other.seconds is None or not taken.seconds:
        return other.reason or "it was not measured"
    times = other.seconds / taken.seconds
    return f"{times:.2f} times as slow" if times >= 1 else "the caller does not allow it here"
