"""Sessions and the browsers that they belong in: brought up when they are wanted, gone back to when they can be had."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from webinfer.errors import WebinferError
from webinfer.fleet import Fleet
from webinfer.options import Backend
from webinfer.policy.assignment import SessionKey, State
from webinfer.policy.placement import home
from webinfer.queues import Queues
from webinfer.tasks import Tasks


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
        """Have a session created where it belongs, if it strayed and that may be tried again."""
        if key not in self._strays:
            return
        name = home(key.browsers, key.backend, self._state.browsers)
        if not any(key in lane.loaded and lane.browser == name for lane in self._state.lanes.values()):
            self._queues.want(key)
            self._on_change()

    def forget(self, key: SessionKey) -> None:
        """Take note that a session is wanted no more."""
        self._strays.discard(key)

    async def close(self) -> None:
        """Bring up nothing any more."""
        await self._tasks.close()

    async def _bring_up(self, names: tuple[str, ...], backend: Backend) -> None:
        called = [key for key in self._queues.sessions() if (key.browsers, key.backend) == (names, backend)]
        try:
            await self._fleet.ensure(names, backend)
        except WebinferError as error:
            for key in [key for key in self._queues.sessions() if (key.browsers, key.backend) == (names, backend)]:
                self._fail(key, error)
        else:
            held = {key for lane in self._state.lanes.values() for key in lane.loaded}
            for key in called:
                if key in held:
                    self._queues.satisfy(key)  # it was only called home, which cannot be had, and stays where it is
        finally:
            self._launching.discard((names, backend))
        self._on_change()
