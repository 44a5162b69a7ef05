"""Which backend and browser a model was given, and why."""

from __future__ import annotations

from dataclasses import dataclass

from webinfer.browsers.lane import Lane
from webinfer.core.options import Backend, ChosenBy, Platform, Requirement
from webinfer.pool.learning.bandit import Arm
from webinfer.pool.learning.decision import Decision, Source
from webinfer.pool.learning.lane_count import LaneCount
from webinfer.pool.plan.preferences import Route, explain
from webinfer.pool.pool import Pool


@dataclass(frozen=True, slots=True)
class Choice:
    """Which backend was asked for and taken, why it is another one, which browsers may run it, who chose, and what is
    required."""

    asked: Platform
    backend: Backend
    reason: str | None
    route: Route | None = None
    require: Requirement | None = None
    by: ChosenBy = "caller"


class Routings:
    """Why a model runs in each browser, where there are several."""

    def __init__(self, pool: Pool, choice: Choice, precision: str, model: str) -> None:
        self._pool = pool
        self._choice = choice
        self._precision = precision
        self._model = model  # its hash
        self._decisions: dict[str, Decision] = {}  # by the browser's id
        self._known: dict[str, str] = {}  # by the browser's id

    def of(self, lane: Lane) -> str | None:
        """Say why it runs in a lane's browser; ``None`` where there is only one."""
        route = self._choice.route
        if route is None:
            return None
        if lane.browser not in self._known:
            missing = (route.wish,) if route.wish and route.wish not in route.names else ()
            passed = (*missing, *route.names[: route.names.index(lane.browser_name)])
            obstacles = [(name, self._pool.obstacle(name, self._choice.backend)) for name in passed]
            self._known[lane.browser] = explain(route, lane.browser_name, obstacles)
        return self._known[lane.browser]

    def decision(self, lane: Lane) -> Decision:
        """Tell why it runs in a lane's browser and on its backend, what else there was, and how many lanes it uses."""
        made, lanes = self._decisions.get(lane.browser), self._count(lane)
        if made is None or made.lanes != lanes:
            made = self._decisions[lane.browser] = self._decide(lane, lanes)
        return made

    def _count(self, lane: Lane) -> LaneCount | None:
        book = self._pool.lane_book
        if book is None:
            return None
        return book.count(self._model, Arm(lane.browser_name, self._choice.backend, self._precision))

    def _decide(self, lane: Lane, lanes: LaneCount | None) -> Decision:
        chosen, route = self._choice, self._choice.route
        taken = Arm(lane.browser_name, chosen.backend, self._precision)
        seen = lane.capabilities
        elsewhere = [name for name in (route.names if route else ()) if name != lane.browser_name]
        arms = [taken._replace(backend=backend) for backend in seen.backends]
        out = {arm: f"{lane.browser_name} takes {chosen.backend} before it" for arm in arms if arm != taken}
        for name in elsewhere:
            before = route is not None and route.names.index(name) < route.names.index(lane.browser_name)
            why = self._pool.obstacle(name, chosen.backend) if before else f"the table prefers {lane.browser_name}"
            out[taken._replace(browser=name)] = why
        if chosen.by == "caller":
            out = {arm: f"the caller asked for {chosen.asked}" if arm in arms else why for arm, why in out.items()}
        what = self.of(lane) or f"{lane.browser_name} is the only browser"
        how = f"{chosen.backend} was asked for" if chosen.by == "caller" else f"{chosen.backend} is its first backend"
        reason = "; ".join((what, chosen.reason or how))
        source: Source = "override" if chosen.by == "caller" else "table"
        return Decision(taken=taken, source=source, reason=reason, arms=arms, barred=out, lanes=lanes)
