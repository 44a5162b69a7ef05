"""Sessions and the browsers that they belong in: brought up when they are wanted, gone back to when they can be had."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from webinfer.core.background import Tasks
from webinfer.core.errors import WebinferError
from webinfer.core.options import Backend
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.plan.affinity import home
from webinfer.pool.plan.assignment import SessionKey, State
from webinfer.pool.requests.queue import Queues


class Homing:
    """Keeps sessions in the browsers that they prefer, as far as these can be had.

    Args:
        fleet: The browsers.
        state: What the scheduler knows.
        queues: What waits.
        fail: Called with a session that no browser can be had for, and why.
        on_change: Called after anything that a plan may depend on.
    """

    def __init__(
        self,
        fleet: Fleet,
        state: State,
        queues: Queues,
        *,
        fail: Callable[[SessionKey, WebinferError], None],
        on_change: Callable[[], None],
    ) -> None:
        self._fleet = fleet
        self._state = state
        self._queues = queues
        self._fail = fail
        self._on_change = on_change
        self._strays: set[SessionKey] = set()  # sessions that run elsewhere than they prefer to
        self._launching: set[tuple[tuple[str, ...], Backend]] = set()  # for whom a browser is being brought up
        self._trying: set[str] = set()  # browsers that are started once more
        self._tasks = Tasks()

    def __repr__(self) -> str:
        return f"<Homing strays={len(self._strays)} launching={len(self._launching)}>"

    def launch(self, keys: Iterable[SessionKey]) -> None:
        """Have a browser up for each of these sessions."""
        for key in keys:
            wanted = key.browsers, key.backend
            if wanted not in self._launching:
                self._launching.add(wanted)
                self._tasks.spawn(self._bring_up(*wanted))

    def settle(self, key: SessionKey, browser: str) -> list[str]:
        """Take note of where a session was created.

        Returns:
            Lanes elsewhere, where it is to be released: it is where it belongs now.
        """
        better = key.browsers[: key.browsers.index(browser)] if key.browsers else ()
        if any(self._fleet.states[name].barred for name in better):
            self._strays.add(key)
            return []
        self._strays.discard(key)
        lanes = self._state.lanes.values() if key.browsers else ()
        return [lane.id for lane in lanes if key in lane.loaded and lane.browser != browser]

    def call(self, key: SessionKey) -> None:
        """Try once more to start a browser that a session prefers to where it is, if it is time to."""
        if key in self._strays:
            for name in filter(self._fleet.is_due, key.browsers):
                if name not in self._trying:
                    self._trying.add(name)
                    self._tasks.spawn(self._try_again(name))

    def forget(self, key: SessionKey) -> None:
        """Take note that a session is wanted no more."""
        self._strays.discard(key)

    async def close(self) -> None:
        """Bring up nothing any more."""
        await self._tasks.close()

    async def _bring_up(self, names: tuple[str, ...], backend: Backend) -> None:
        try:
            await self._fleet.ensure(names, backend)
        except WebinferError as error:
            for key in self._queues.sessions():
                if (key.browsers, key.backend) == (names, backend):
                    self._fail(key, error)
        finally:
            self._launching.discard((names, backend))
        self._on_change()

    async def _try_again(self, name: str) -> None:
        """Start a browser that did not start before; whatever strayed from it is created there now."""
        try:
            if isinstance(await self._fleet.launch(name), WebinferError):
                return  # which was announced, and puts the next try off
        finally:
            self._trying.discard(name)
        for key in self._strays:
            if home(key.browsers, key.backend, self._state.browsers) == name:
                self._queues.want(key)
        self._on_change()
