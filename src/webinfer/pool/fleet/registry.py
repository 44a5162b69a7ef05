"""Which browsers and lanes there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from webinfer.browsers.browser import Browser
from webinfer.browsers.lane import Lane
from webinfer.core.placement import LaneId
from webinfer.pool.plan.affinity import BrowserState
from webinfer.pool.plan.assignment import LaneState


@dataclass(frozen=True, slots=True, eq=False)
class Retirement:
    """A lane that takes nothing more and ends once it has answered what it has.

    Attributes:
        lane: The lane.
        browser: Its browser, which may be about to end too.
        cause: Why, in words.
    """

    lane: Lane
    browser: Browser
    cause: str


class Registry:
    """The browsers and lanes of a pool, and what the scheduler knows of them. It starts and ends nothing.

    A lane is in ``lanes`` and ``states`` while it takes work, then perhaps in ``retiring``, then nowhere. A browser is
    in ``browsers`` while it is counted on, then in ``ending`` until its processes are gone.

    Args:
        names: Names of the browsers that may be started, in order of preference.

    Attributes:
        browsers: Browsers that are counted on, by id.
        lanes: Lanes that can take work, by id.
        states: What the scheduler knows of these lanes, by id.
        browser_states: What the scheduler knows of each browser that may be started, by name.
        retiring: Lanes that answer what they have and then end, by id.
        ending: Browsers that are not counted on any more, and not yet gone.
        lost_gpu: Ids of the browsers that lost a GPU device.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.browsers: dict[str, Browser] = {}
        self.lanes: dict[LaneId, Lane] = {}
        self.states: dict[LaneId, LaneState] = {}
        self.browser_states = {name: BrowserState() for name in names}
        self.retiring: dict[LaneId, Retirement] = {}
        self.ending: set[Browser] = set()
        self.lost_gpu: set[str] = set()

    def __repr__(self) -> str:
        ending = f"retiring={len(self.retiring)} ending={len(self.ending)}"
        return f"<Registry browsers={len(self.browsers)} lanes={len(self.lanes)} {ending}>"

    def named(self, name: str) -> Browser | None:
        """Return the browser of that name that is counted on, if there is one.

        Args:
            name: The browser's name.
        """
        return next((browser for browser in self.browsers.values() if browser.name == name), None)

    def lane(self, id: LaneId) -> Lane | None:
        """Return a lane that works or is retiring.

        Args:
            id: The lane.
        """
        if id in self.lanes:
            return self.lanes[id]
        return self.retiring[id].lane if id in self.retiring else None

    def lanes_of(self, browser: Browser) -> list[Lane]:
        """Return the lanes of a browser, those that are retiring included.

        Args:
            browser: The browser.
        """
        known = (*self.lanes.values(), *(retirement.lane for retirement in self.retiring.values()))
        return [lane for lane in known if lane.id.browser == browser.id]

    def clear(self) -> None:
        """Forget all that works, since it has ended."""
        self.browsers.clear()
        self.lanes.clear()
        self.states.clear()

    def add_browser(self, browser: Browser) -> None:
        """Count on a browser from now on.

        Args:
            browser: The browser.
        """
        self.browsers[browser.id] = browser
        self.browser_states[browser.name].capabilities = browser.capabilities

    def remove_browser(self, browser: Browser) -> bool:
        """Return whether a browser was counted on until now. It is not any more.

        Args:
            browser: The browser.
        """
        if self.browsers.pop(browser.id, None) is None:
            return False
        self.browser_states[browser.name].up = False
        self.lost_gpu.discard(browser.id)
        self.ending.add(browser)
        return True

    def add_lane(self, lane: Lane) -> None:
        """Let a lane take work.

        Args:
            lane: The lane.
        """
        self.lanes[lane.id] = lane
        self.states[lane.id] = LaneState(lane.id, browser=lane.browser_name)

    def remove_lane(self, lane: Lane) -> bool:
        """Return whether a lane took work until now. It is given nothing more.

        Args:
            lane: The lane.
        """
        self.states.pop(lane.id, None)
        return self.lanes.pop(lane.id, None) is not None

    def retire_lane(self, lane: Lane, cause: str) -> LaneState | None:
        """Give a lane nothing more, and let it answer what it has.

        Args:
            lane: The lane.
            cause: Why, in words.

        Returns:
            What the scheduler knew of it; ``None`` where it took no work, or its browser is not counted on any more.
        """
        browser = self.browsers.get(lane.id.browser)
        if browser is None or lane.id not in self.lanes:
            return None
        state = self.states[lane.id]
        self.remove_lane(lane)
        lane.retired = True
        self.retiring[lane.id] = Retirement(lane, browser, cause)
        return state
