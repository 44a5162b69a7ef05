"""Which lane does what next: the scheduler, as one pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from typing import NamedTuple

from webinfer.core.options import Backend
from webinfer.core.placement import LaneId
from webinfer.pool.plan.affinity import BrowserState, Subject, home


class SessionKey(NamedTuple):
    """What makes a session distinct: one model, for one backend, precision and set of fixed dimensions.

    ``browsers`` names those that may run it, the preferred one first; none for any. ``captured``: its runs are recorded
    and replayed, where its lane can.
    """

    model: str
    backend: Backend
    precision: str = "fp32"
    dimensions: tuple[tuple[str, int], ...] = ()
    browsers: tuple[str, ...] = ()
    captured: bool = False

    @property
    def subject(self) -> Subject:
        """What a browser may be passed over for."""
        return self.model, self.backend, self.precision


@dataclass(slots=True)
class LaneState:
    """What the scheduler knows of a lane.

    Attributes:
        loaded: Sessions that it holds, and when each was last used: a number that grows.
        loading: The session that it is creating, if any.
        running: Requests sent to it and not yet answered.
        browser: Name of its browser.
        runs: Requests sent to it since it started.
    """

    id: LaneId
    loaded: dict[SessionKey, int] = field(default_factory=dict)
    loading: SessionKey | None = None
    running: int = 0
    browser: str = ""
    runs: int = 0


@dataclass(slots=True)
class State:
    """What the scheduler decides from.

    Attributes:
        lanes: Lanes that can take work, by id.
        waiting: Waiting requests by session, the session served longest ago first. An empty queue means that the
            session is wanted for itself: somebody is loading the model.
        sizes: Bytes of each session's model files.
        capacity: Bytes of model files that a lane may hold; ``None`` for no limit. A larger model may be there alone.
        browsers: Browsers that may be started, by name, in order of preference.
        depth: Requests that a lane may hold at once. With two, the next one's tensors travel while the first runs.
        depths: The same for sessions whose requests run together, where it may differ: 0 while a batch waits for
            more, 1 to have it wait for a free lane.
        reserved: Lanes that a more urgent batch waits for: they are given nothing more.
    """

    lanes: Mapping[LaneId, LaneState]
    waiting: Mapping[SessionKey, Sized]
    browsers: Mapping[str, BrowserState]
    sizes: dict[SessionKey, int] = field(default_factory=dict)
    capacity: int | None = None
    depth: int = 2
    depths: Mapping[SessionKey, int] = field(default_factory=dict)
    reserved: set[LaneId] = field(default_factory=set)


@dataclass(slots=True)
class Plan:
    """What to do now.

    Attributes:
        dispatch: For each entry, send the oldest waiting request of that session to that lane, or the oldest batch,
            where requests run together: then there is one entry for it, and the next batch takes another plan.
        evict: Sessions to release first, and where. What was sent to them before still runs.
        load: Sessions to create, and where.
        launch: Sessions whose browser must be started first.
        reserve: Lanes that a batch waits for. They are given nothing behind its back, or it might wait for ever.
    """

    dispatch: list[tuple[SessionKey, LaneId]] = field(default_factory=list)
    evict: list[tuple[SessionKey, LaneId]] = field(default_factory=list)
    load: list[tuple[SessionKey, LaneId]] = field(default_factory=list)
    launch: list[SessionKey] = field(default_factory=list)
    reserve: list[LaneId] = field(default_factory=list)


def plan(state: State) -> Plan:
    """Decide what to do now.

    Sessions take turns, one request a turn, so that a busy model cannot starve another. A request goes to the least
    busy lane that holds its session. Where none has room, the session is created on a further lane of the browser that
    it belongs in. If no lane there holds it, any lane will do that is not creating a session already; else only an idle
    one. Of equally busy lanes it is the one where nothing has to give way, or what was used longest ago.

    Args:
        state: What to decide from.

    Returns:
        The plan. It never sends more requests of a session than are waiting, nor more than ``depth`` to a lane.
    """
    todo = Plan()
    # Requests that each lane will have once the plan is carried out. A reserved lane counts as full.
    busy = {
        lane.id: max(lane.running, state.depth) if lane.id in state.reserved else lane.running
        for lane in state.lanes.values()
    }
    loading = {lane.id for lane in state.lanes.values() if lane.loading}
    turns = [(key, len(queue)) for key, queue in state.waiting.items()]
    while turns:
        again = []
        for key, left in turns:
            if left and not state.depths.get(key, state.depth):
                continue  # its batch still gathers: it needs neither a lane nor a further session yet
            lane = least_busy(key, state, busy) if left else None
            if lane is not None:
                todo.dispatch.append((key, lane))
                busy[lane] += 1
                if left > 1 and key not in state.depths:  # how many a batch takes is not known here
                    again.append((key, left - 1))
                continue
            # No lane has room, and no later turn of this plan changes that: the session leaves the round.
            if left and state.depths.get(key, state.depth) < state.depth:
                todo.reserve += _reserve(key, state, busy)
            target = _place(key, bool(left), state, busy, loading)
            if target is not None:
                todo.evict += [(old, target) for old in make_room(key, state.lanes[target], state)]
                todo.load.append((key, target))
                loading.add(target)
        turns = again
    todo.launch = [key for key in state.waiting if not _is_up(key, state)]
    return todo


def least_busy(key: SessionKey, state: State, busy: Mapping[LaneId, int] | None = None) -> LaneId | None:
    """Return the lane that a request goes to: the least busy one that holds its session and has room.

    Where nothing else waits, this is the whole plan.

    Args:
        key: The request's session.
        state: What the scheduler knows.
        busy: Requests that each lane has, where a plan in the making has given them more.
    """
    # Of equally busy lanes the oldest wins, so that the youngest come to rest and can be ended.
    best, least = None, state.depths.get(key, state.depth)
    for lane in state.lanes.values():
        running = lane.running if busy is None else busy[lane.id]
        if running < least and key in lane.loaded:
            best, least = lane.id, running
    return best


def _reserve(key: SessionKey, state: State, busy: dict[LaneId, int]) -> list[LaneId]:
    """Return the lanes that are kept from taking anything before a batch that will have one of them first."""
    holders = [lane.id for lane in state.lanes.values() if key in lane.loaded]
    soonest = min(holders, key=lambda lane: busy[lane], default=None)
    if soonest is None:
        return []
    busy[soonest] = max(busy[soonest], state.depth)
    return [soonest]


def _is_up(key: SessionKey, state: State) -> bool:
    """Return whether the browser that a session belongs in runs or is starting."""
    name = home(key.browsers, key.subject, state.browsers)
    return name is not None and state.browsers[name].up


def _place(
    key: SessionKey, waiting: bool, state: State, busy: dict[LaneId, int], loading: set[LaneId]
) -> LaneId | None:
    """Return the lane to create a session on, or none."""
    name = home(key.browsers, key.subject, state.browsers)
    lanes = [lane for lane in state.lanes.values() if lane.browser == name]
    holders = [lane for lane in lanes if key in lane.loaded]
    if any(lane.loading == key for lane in lanes) or (holders and not waiting):
        return None
    free = [
        lane for lane in lanes if lane.id not in loading and key not in lane.loaded and not (holders and busy[lane.id])
    ]
    return min(free, key=lambda lane: (busy[lane.id], _cost(key, lane, state), len(lane.loaded))).id if free else None


def _cost(key: SessionKey, lane: LaneState, state: State) -> int:
    """Return when what would give way to a session was last used; -1 where nothing would have to."""
    return max((lane.loaded[old] for old in make_room(key, lane, state)), default=-1)


def make_room(key: SessionKey, lane: LaneState, state: State) -> list[SessionKey]:
    """Return what a lane must release before it creates a session."""
    if state.capacity is None:
        return []
    over = sum(state.sizes.get(held, 0) for held in (*lane.loaded, key)) - state.capacity
    released = []
    for old in sorted(lane.loaded, key=lane.loaded.__getitem__):
        if over <= 0:
            break
        over -= state.sizes.get(old, 0)
        released.append(old)
    return released
