"""Sessions that run elsewhere than they prefer to, and their way back."""

from __future__ import annotations

from webinfer.core.errors import WebinferError
from webinfer.core.lifetime.background import Tasks
from webinfer.core.placement import LaneId
from webinfer.pool.fleet.launcher import Launcher
from webinfer.pool.owner import Owner
from webinfer.pool.plan.affinity import home
from webinfer.pool.plan.assignment import SessionKey, State
from webinfer.pool.requests.queue import Queues


class Affinity:
    """Brings sessions back to the browsers that they prefer, once these start again.

    Args:
        launcher: Starts browsers.
        state: What the scheduler knows.
        queues: What waits.
        owner: The pool.
    """

    def __init__(self, launcher: Launcher, state: State, queues: Queues, owner: Owner) -> None:
        self._launcher = launcher
        self._state = state
        self._queues = queues
        self._owner = owner
        self._strays: set[SessionKey] = set()  # sessions that run elsewhere than they prefer to
        self._trying: set[str] = set()  # browsers that are started once more
        self._tasks = Tasks()

    def __repr__(self) -> str:
        return f"<Affinity strays={len(self._strays)}>"

    def settle(self, key: SessionKey, browser: str) -> list[LaneId]:
        """Take note of where a session was created.

        Args:
            key: The session.
            browser: Name of the browser.

        Returns:
            Lanes elsewhere, where it is to be released: it is where it belongs now.
        """
        better = key.browsers[: key.browsers.index(browser)] if key.browsers else ()
        if any(self._state.browsers[name].barred for name in better):
            self._strays.add(key)
            return []
        self._strays.discard(key)
        lanes = self._state.lanes.values() if key.browsers else ()
        return [lane.id for lane in lanes if key in lane.loaded and lane.browser != browser]

    def call(self, key: SessionKey) -> None:
        """Try once more to start a browser that a session prefers to where it is, if it is time to.

        Args:
            key: The session.
        """
        if key in self._strays:
            for name in filter(self._launcher.is_due, key.browsers):
                if name not in self._trying:
                    self._trying.add(name)
                    self._tasks.spawn(self._try_again(name))

    def forget(self, key: SessionKey) -> None:
        """Take note that a session is wanted no more.

        Args:
            key: The session.
        """
        self._strays.discard(key)

    async def close(self) -> None:
        """Bring nothing back any more."""
        await self._tasks.close()

    async def _try_again(self, name: str) -> None:
        """Start a browser that did not start before; whatever strayed from it is created there now."""
        try:
            if isinstance(await self._launcher.launch(name), WebinferError):
                return  # which was announced, and puts the next try off
        finally:
            self._trying.discard(name)
        for key in self._strays:
            if home(key.browsers, key.subject, self._state.browsers) == name:
                self._queues.want(key)
        self._owner.advance()
