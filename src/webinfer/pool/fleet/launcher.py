"""Which browser is started, and when one that did not start is tried again."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence

from webinfer.browsers.browser import Browser
from webinfer.browsers.discovery.find import Installation
from webinfer.core.errors import BackendUnavailable, BrowserError, LostError, WebinferError
from webinfer.core.lifetime.background import Tasks
from webinfer.core.options import Backend, Options
from webinfer.pool.events import BrowserRefused, log_fields
from webinfer.pool.fleet.fleet import Fleet
from webinfer.pool.owner import Owner
from webinfer.pool.plan.affinity import Subject
from webinfer.pool.plan.retry import Breaker

log = logging.getLogger("webinfer.fleet")


class Launcher:
    """Has browsers started, one of each name at most, with a circuit breaker for each.

    Args:
        fleet: Starts them.
        installations: Browsers that may be started, in order of preference.
        options: Options of the accelerator.
        owner: The pool.

    Attributes:
        installations: Browsers that may be started, by name, in order of preference.
    """

    def __init__(self, fleet: Fleet, installations: Sequence[Installation], options: Options, owner: Owner) -> None:
        self.installations = {installation.name: installation for installation in installations}
        self._fleet = fleet
        self._states = fleet.registry.browser_states
        self._options = options
        self._owner = owner
        self._starting: dict[str, asyncio.Task[Browser | WebinferError]] = {}  # launches under way, by name
        self._breakers: dict[str, Breaker] = {}  # of those that failed to start, last time
        self._tasks = Tasks()

    def __repr__(self) -> str:
        return f"<Launcher {'+'.join(self.installations)} starting={sorted(self._starting)}>"

    def up(self, name: str) -> Browser | None:
        """Return the browser of that name that has started, if there is one.

        Args:
            name: The browser's name.
        """
        return None if name in self._starting else self._fleet.registry.named(name)

    async def ensure(self, names: Sequence[str] = (), backend: Backend | None = None) -> Browser:
        """Have a browser up: the first one that starts and can run a backend.

        One that does not start is passed over for the time of its back-off, and another takes its place. Where there
        is none, it is tried again, ``launch_retries`` times.

        Args:
            names: Browsers to choose from, in order; none for all.
            backend: What it must be able to run; ``None`` for no matter.

        Returns:
            The browser, with a lane at least.

        Raises:
            BackendUnavailable: None of them can run it.
            BrowserError: None of them started.
            LostError: The last one that was tried was lost while it started.
        """
        tries: Counter[str] = Counter()
        error: WebinferError | None = None
        while True:
            able = [name for name in names or self.installations if self._states[name].can_run(backend)]
            left = [name for name in able if tries[name] <= self._options.launch_retries]
            if not left:
                raise error if able and error is not None else self._unavailable(names, backend)
            name, pause = self._next(left)
            # A caller's first try does not wait: nothing else is left, and the failures before were other callers'.
            if pause and tries[name] and self._options.progressive_backoff:
                await asyncio.sleep(pause)
                continue  # another may be up by now
            tries[name] += 1
            outcome = self.up(name) or await self.launch(name)
            if isinstance(outcome, WebinferError):
                error = outcome
                # Another try cannot help where it is no matter of chance, such as a page of another version.
                if not isinstance(outcome, BrowserError | LostError):
                    tries[name] += self._options.launch_retries
            elif self._states[name].can_run(backend):
                return outcome

    async def launch(self, name: str) -> Browser | WebinferError:
        """Start a browser and its lanes, or wait for the start that is under way already.

        Giving up the wait does not end the start, for others may wait too.

        Args:
            name: The browser's name.

        Returns:
            The browser, or why it did not start.
        """
        if name not in self._starting:
            self._states[name].up = True  # now: the next plan may be asked for before the task begins
            self._starting[name] = self._tasks.hold(self._start(name))
            self._starting[name].add_done_callback(lambda _: self._starting.pop(name))
        return await asyncio.shield(self._starting[name])

    def replace(self, browser: Browser, cause: str) -> None:
        """Start another browser in the place of one that ends once it has answered what it has.

        Args:
            browser: The browser.
            cause: Why, in words.
        """
        if self._fleet.retire_browser(browser, cause):
            self._tasks.spawn(self._relaunch(browser.name))

    def is_due(self, name: str) -> bool:
        """Return whether a browser that did not start may be tried once more, beside those that took its place.

        Args:
            name: The browser's name.
        """
        if name not in self._breakers or name in self._starting:
            return False
        return asyncio.get_running_loop().time() >= self._breakers[name].until

    def obstacle(self, name: str, subject: Subject) -> str:
        """Return what keeps a session of a model from a browser.

        Args:
            name: The browser's name.
            subject: The model's hash, its backend and precision.
        """
        _, backend, _ = subject
        if name not in self.installations:
            return "is not installed"
        if name in self._breakers:
            return f"does not start ({self._breakers[name].cause})"
        if self._states[name].is_passed_over(subject):
            return "answers it wrongly"
        return f"cannot run {backend} here" if not self._states[name].can_run(backend) else "was lost"

    async def close(self) -> None:
        """Start nothing any more. What is starting ends."""
        await self._tasks.close()

    def _next(self, names: Sequence[str]) -> tuple[str, float]:
        """Return which browser to try, and the seconds until it is due."""
        ready = next((name for name in names if not self._states[name].barred), None)
        if ready is not None:
            return ready, 0.0
        name = min(names, key=lambda name: self._breakers[name].until)
        return name, max(self._breakers[name].until - asyncio.get_running_loop().time(), 0.0)

    async def _start(self, name: str) -> Browser | WebinferError:
        try:
            browser = await self._fleet.start_browser(self.installations[name])
        except BaseException as error:
            self._states[name].up = False
            if not isinstance(error, WebinferError):
                raise
            self._bar(name, error)
            return error
        self._breakers.pop(name, None)
        self._states[name].barred = False
        # Its lanes have started, and it may have been lost while the last of them did.
        return browser.lost.result() if browser.lost.done() else browser

    def _bar(self, name: str, error: WebinferError) -> None:
        """Leave a browser alone for a while, since it did not start."""
        now = asyncio.get_running_loop().time()
        breaker = self._breakers[name] = self._breakers.get(name, Breaker()).failed(now, error.code)
        event = BrowserRefused(name, error.code, str(error), breaker.failures, breaker.until - now)
        about = (name, breaker.failures, error)
        log.warning("browser %s did not start, %d times in a row: %s", *about, extra=log_fields(event))
        self._states[name].barred = True
        self._owner.announce(event)

    async def _relaunch(self, name: str) -> None:
        await self.launch(name)  # a failure is announced, and others take its place
        self._owner.advance()

    def _unavailable(self, names: Sequence[str], backend: Backend | None) -> BackendUnavailable:
        """Return why none of the browsers can run a backend."""
        assert backend is not None
        reported = [self._states[name].capabilities for name in names or self.installations]
        known = [capabilities for capabilities in reported if capabilities is not None]
        reasons = [
            f"{one.engine} {one.engine_version} cannot run {backend} here: {str(one.errors.get(backend)).rstrip('.')}"
            for one in known
        ]
        available = list(dict.fromkeys(able for capabilities in known for able in capabilities.backends))
        message = f"{'; '.join(reasons)}. It can run: {', '.join(available)}."
        return BackendUnavailable(message, backend=backend, available=available)
