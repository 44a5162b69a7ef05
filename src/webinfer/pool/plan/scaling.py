"""How many lanes there should be: more while requests wait, fewer when lanes are idle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

PATIENCE = 0.25
"""Seconds for which requests must wait before a lane is added, counted anew with each lane: a short burst is done
before a new lane would have started and loaded its model."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far the number of lanes may go.

    Attributes:
        least: Lanes that are kept while idle, in all browsers together.
        most: Lanes that one browser may have.
        idle: Seconds without work after which a lane beyond ``least`` is ended; ``None`` for never.
    """

    least: int
    most: int
    idle: float | None


@dataclass(frozen=True, slots=True)
class LaneLoad:
    """A lane.

    Attributes:
        id: Its id.
        idle_since: When it was last at work; ``None`` while it is.
        spare: Whether others hold all that it does, so that nothing is lost when it takes no more.
    """

    id: str
    idle_since: float | None = None
    spare: bool = False


@dataclass(frozen=True, slots=True)
class BrowserLoad:
    """A browser: its lanes, the oldest first, and what waits for them.

    Attributes:
        id: Its id.
        lanes: Lanes that can take work.
        starting: Lanes that will be able to.
        pressed_since: Since when requests have waited that its lanes have no room for, or since a lane was last
            added if that is later; ``None`` while none wait.
        full: It may not get further lanes: it is over its memory limit.
        enough: Lanes beyond which more were found to be of no use; ``None`` where that is not known.
        held: Until when it gets no further lane, so that what it does with those that it has is measured.
    """

    id: str
    lanes: Sequence[LaneLoad]
    starting: int = 0
    pressed_since: float | None = None
    full: bool = False
    enough: int | None = None
    held: float | None = None


@dataclass(slots=True)
class Scaling:
    """What to do now.

    Attributes:
        grow: Browsers to start a lane in.
        end: Lanes to end, all idle.
        give_back: Lanes that are of no use, to end once they have answered what they have.
        wake: When to look again though nothing happens; ``None`` where there is no need.
    """

    grow: list[str] = field(default_factory=list)
    end: list[str] = field(default_factory=list)
    give_back: list[str] = field(default_factory=list)
    wake: float | None = None


def scale(browsers: Sequence[BrowserLoad], limits: Limits, now: float) -> Scaling:
    """Decide on lanes to start and to end.

    Up and down are far apart, so that the number does not swing: up after ``PATIENCE`` under pressure, one lane at a
    time; down only after ``idle`` seconds without work, and never in a browser that is under pressure or growing. A
    lane that was found to be of no use is given back at once, where others hold all that it does.
    """
    made = Scaling()
    resting: list[LaneLoad] = []
    spare = sum(len(browser.lanes) + browser.starting for browser in browsers) - limits.least
    for browser in browsers:
        useless = _useless(browser) if limits.idle is not None and spare > 0 else None
        if useless is not None:
            made.give_back.append(useless)
            spare -= 1
        elif browser.pressed_since is not None or browser.starting:
            _grow(browser, limits, now, made)
        else:
            resting += reversed(browser.lanes)  # the youngest first: the oldest holds the most sessions
    if limits.idle is not None and spare > 0:
        due = [(lane.idle_since + limits.idle, lane.id) for lane in resting if lane.idle_since is not None]
        due.sort(key=lambda lane: lane[0])
        _shrink(due[:spare], now, made)
    return made


def _grow(browser: BrowserLoad, limits: Limits, now: float, made: Scaling) -> None:
    most = limits.most if browser.enough is None else min(limits.most, browser.enough)
    room = len(browser.lanes) + browser.starting < most
    if browser.pressed_since is None or browser.starting or browser.full or not room:
        return
    due = max(browser.pressed_since + PATIENCE, browser.held or 0.0)
    if due <= now:
        made.grow.append(browser.id)
    else:
        _wake(made, due)


def _useless(browser: BrowserLoad) -> str | None:
    """Choose a lane that is of no use, if there is one: an idle one, else the youngest."""
    if browser.enough is None or browser.starting or len(browser.lanes) <= browser.enough:
        return None
    spare = [lane for lane in reversed(browser.lanes) if lane.spare]
    return min(spare, key=lambda lane: lane.idle_since is None).id if spare else None


def _shrink(due: Sequence[tuple[float, str]], now: float, made: Scaling) -> None:
    for at, lane in due:
        if at <= now:
            made.end.append(lane)
        else:
            _wake(made, at)


def _wake(made: Scaling, at: float) -> None:
    made.wake = at if made.wake is None else min(made.wake, at)
