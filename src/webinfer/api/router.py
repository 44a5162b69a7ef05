"""Where a model is loaded: as the caller says, or by the table of preferences."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from webinfer.browsers.browser import Browser
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import BackendUnavailable
from webinfer.core.options import ChosenBy, Options, Platform
from webinfer.inference.kv_cache import cache_of
from webinfer.inference.route import Choice
from webinfer.models.files.package import ModelPackage
from webinfer.pool.plan import preferences
from webinfer.pool.pool import Pool

_VARYING = "WebNN takes fixed shapes, and the inputs of this model have others in each run"
_GROWING = "WebNN takes fixed shapes, and this model's cache grows with every token"


class Router:
    """Chooses a browser and a backend for each model.

    Args:
        options: Options of the accelerator.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._preferences = preferences.merge(options.browser_preferences or {})

    def __repr__(self) -> str:
        return f"<Router {self._options.routing}>"

    async def choose(
        self, pool: Pool, package: ModelPackage, asked: Platform, fallback: bool
    ) -> tuple[Choice, Capabilities]:
        """Decide on a browser and a backend. That browser is up then.

        Args:
            pool: The pool.
            package: The model.
            asked: The platform that was asked for.
            fallback: Whether another backend may be taken, where no browser can run that one.

        Returns:
            The choice, and what that browser can do.

        Raises:
            BackendUnavailable: No browser can run that backend.
            WebinferError: No browser starts.
        """
        choice, browser = await self._by_table(pool, package, asked, fallback)
        return choice, browser.capabilities

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

    def _route(self, pool: Pool, package: ModelPackage) -> preferences.Route | None:
        installed = [installation.name for installation in pool.installations]
        return preferences.route(package.family, self._preferences, installed) if len(installed) > 1 else None


def avoid_fixed_shapes(choice: Choice, package: ModelPackage, varying: Collection[str]) -> Choice:
    """Take WebAssembly in place of WebNN for a model that has other shapes in each run.

    Args:
        choice: What was chosen.
        package: The model. A cache of its that grows with every step counts where ``auto`` chose.
        varying: Inputs whose shape the caller knows to be another in each run.
    """
    if choice.backend != "webnn":
        return choice
    if any(spec.name in varying for spec in package.signature.inputs):
        return replace(choice, backend="wasm", reason=_VARYING)
    return replace(choice, backend="wasm", reason=_GROWING) if choice.asked == "auto" and cache_of(package) else choice
