"""Where a model is loaded: as the caller says, by the table of preferences, or by what was learned of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from webinfer.browsers.browser import Browser
from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.discovery.versions import version
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import BackendUnavailable
from webinfer.core.options import ChosenBy, Options, Platform
from webinfer.inference.route import Choice
from webinfer.models.files.package import ModelPackage
from webinfer.pool.events import Event, StretchMeasured
from webinfer.pool.learning.bandit import Arm, Learning, Record, major, recall
from webinfer.pool.plan import preferences
from webinfer.pool.pool import Pool
from webinfer.telemetry.database.connection import MEMORY
from webinfer.telemetry.database.history import FileHistory, History
from webinfer.telemetry.database.store import Store
from webinfer.telemetry.database.store_history import StoreHistory

HORIZON = 100
"""Requests that a model is expected to get, against which the time of its load is set."""


class Chooser:
    """Chooses a browser and a backend for each model.

    Args:
        options: Options of the accelerator.

    Attributes:
        history: What was learned, kept between processes.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._preferences = preferences.merge(options.browser_preferences or {})
        threads = f"{options.threads} threads" if options.threads else "all cores"
        self.history: History = FileHistory(f"{options.lanes} lanes, {threads}")

    def __repr__(self) -> str:
        return f"<Chooser {self._options.routing}>"

    def remember(self, store: Store) -> None:
        """Learn from a database from now on, if it keeps requests for the next process."""
        if self._options.store_results and store.path != MEMORY:
            self.history = StoreHistory(store, self._options.lanes, self._options.threads)

    def learns(self, pool: Pool, asked: Platform, precisions: Sequence[str] = ()) -> bool:
        """Whether the place of a model is learned. What the caller says is never overruled.

        Args:
            pool: The pool.
            asked: The platform that was asked for.
            precisions: Precisions that the caller allows besides the first one.
        """
        wanted = self._options.routing
        several = len(pool.installations) > 1
        free = asked == "auto" and (wanted == "learned" or (wanted == "auto" and several))
        return free or (bool(precisions) and wanted != "table")

    def browsers(self, pool: Pool, package: ModelPackage) -> tuple[str, ...]:
        """Return the browsers that a model may be tried in: what the caller prefers for its family, else all."""
        route = self._route(pool, package)
        names = route.names if route else tuple(each.name for each in pool.installations)
        if not preferences.is_named(package.family, self._options.browser_preferences or {}):
            return names
        preferred = self._preferences[package.family]
        return tuple(name for name in names if name in preferred) or names

    async def choose(
        self,
        pool: Pool,
        package: ModelPackage,
        asked: Platform,
        fallback: bool,
        learns: bool,
        precisions: Sequence[str] = (),
    ) -> tuple[Choice, Capabilities, Learning | None]:
        """Decide on a browser, a backend and, of those allowed besides the package's own, a precision.

        That browser is up then.

        Returns:
            The choice, what that browser can do, and what is known of the places to choose from, where that is learned.

        Raises:
            BackendUnavailable: No browser can run that backend.
            WebinferError: No browser starts.
        """
        records: dict[Arm, Record] = {}
        if learns:
            wanted, names = (package.precision, *precisions), self.browsers(pool, package)
            known = await self._read(pool, package)
            records = {arm: known[arm] for arm in known if arm.precision in wanted and asked in ("auto", arm.backend)}
            arms = [arm for arm in records if arm.browser in names]
            found = recall(arms, records, HORIZON)
            chosen = await self._take(pool, package, asked, found, records) if found else None
            if found and chosen:
                return *chosen, Learning(found, arms, records)
        choice, browser = await self._by_table(pool, package, asked, fallback)
        serving = Arm(browser.installation.name, choice.backend, package.precision)
        learning = Learning(serving, [serving], records) if learns else None
        return choice, browser.capabilities, learning

    def __call__(self, event: Event) -> None:
        """Keep what a pool announces of its lanes for the next process."""
        if isinstance(event, StretchMeasured):
            arm = Arm(event.browser_name, event.backend, event.precision)
            self.history.note_lanes(event.model, arm, event.size, event.times)

    def elsewhere(self, choice: Choice, arm: Arm) -> Choice:
        """Return the choice of another arm: its browser first, then those that the model may go to without it."""
        names = choice.route.names if choice.route else ()
        others = tuple(name for name in names if name != arm.browser)
        route = replace(choice.route, names=(arm.browser, *others)) if choice.route else None
        return replace(choice, backend=arm.backend, route=route, by="learned")

    async def _by_table(
        self, pool: Pool, package: ModelPackage, asked: Platform, fallback: bool
    ) -> tuple[Choice, Browser]:
        route = self._route(pool, package)
        names = route.names if route else ()
        wanted = None if asked == "auto" else asked
        why = None
        try:
            browser = await pool.ensure(names, wanted)
        except BackendUnavailable as error:
            if not fallback:
                raise
            browser, why = await pool.ensure(names), str(error)
        backend = wanted if wanted and not why else browser.capabilities.choose()
        by: ChosenBy = "table" if asked == "auto" else "caller"
        return Choice(asked, backend, why, route, by=by), browser

    async def _take(
        self, pool: Pool, package: ModelPackage, asked: Platform, arm: Arm, records: dict[Arm, Record]
    ) -> tuple[Choice, Capabilities] | None:
        """Choose an arm that was the best; ``None`` where it is not to be had any more."""
        route = self._route(pool, package)
        names = route.names if route else (arm.browser,)
        names = (arm.browser, *(name for name in names if name != arm.browser))
        try:
            browser = await pool.ensure(names, arm.backend)
        except BackendUnavailable:
            return None
        if browser.installation.name != arm.browser:
            return None
        why = Learning(arm, (), records).explain(arm)
        learned = replace(route, names=names, why=why) if route else None
        return Choice(asked, arm.backend, None, learned, by="learned"), browser.capabilities

    def _route(self, pool: Pool, package: ModelPackage) -> preferences.Route | None:
        installed = [each.name for each in pool.installations]
        return preferences.route(package.family, self._preferences, installed) if len(installed) > 1 else None

    async def _read(self, pool: Pool, package: ModelPackage) -> dict[Arm, Record]:
        """Read what is known, without what was measured in another version of a browser."""
        known = await asyncio.to_thread(self.history.read, package.sha256)
        named = {arm.browser for arm in known}
        versions = await asyncio.to_thread(_versions, [each for each in pool.installations if each.name in named])
        return {
            arm: record
            for arm, record in known.items()
            if versions.get(arm.browser, major(record.version)) == major(record.version)
        }


def _versions(installations: Iterable[Installation]) -> dict[str, str]:
    """Ask browsers for their version, as far as that is the one that their pages tell."""
    asked = {each.name: version(each.executable, each.libraries) for each in installations if each.engine != "webkit"}
    return {name: major(told) for name, told in asked.items() if told}
