"""Which backend and browser a model was given, and why."""

from __future__ import annotations

from dataclasses import dataclass

from webinfer.lane import Lane
from webinfer.options import Backend, ChosenBy, Platform, Requirement
from webinfer.policy.routing import Route, explain
from webinfer.pool import Pool


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

    def __init__(self, pool: Pool, choice: Choice) -> None:
        self._pool = pool
        self._choice = choice
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
