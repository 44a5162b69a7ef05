"""Where a model is loaded: the caller, a contest or the table of preferences decides."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from webinfer.browsers.browser import Browser
from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.discovery.versions import version
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import BackendUnavailable, BrowserError, LostError
from webinfer.core.options import Backend, ChosenBy, Options, Platform
from webinfer.inference.residents.kv_cache import cache_of
from webinfer.inference.route import Choice
from webinfer.models.files.package import ModelPackage
from webinfer.pool.plan import preferences
from webinfer.pool.pool import Pool
from webinfer.telemetry.database.machine import machine
from webinfer.tuning.candidate import Candidate
from webinfer.tuning.results import TuningResults
from webinfer.tuning.tuning import Standing, Tuning, is_alike

_VARYING = "WebNN takes fixed shapes, and the inputs of this model have others in each run"
_GROWING = "WebNN takes fixed shapes, and this model's cache grows with every token"
_HALF = ("fp16", "q4f16")
_RESTORED = 1 << 27
"""Weights of 8 bits beyond which WebNN's runtime in Chromium 153 may ask for a buffer of 2 GB, which ends the page."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller leaves open.

    Attributes:
        platform: The platform that was asked for.
        precisions: Precisions that are allowed, the one to begin with first.
        fallback: Whether another backend may be taken, where no browser can run that one.
    """

    platform: Platform
    precisions: Sequence[str]
    fallback: bool = False


class Router:
    """Chooses a browser and a backend for each model.

    Args:
        options: Options of the accelerator.
        results: Results of tuning.
    """

    def __init__(self, options: Options, results: TuningResults) -> None:
        self._options = options
        self._results = results
        self._preferences = preferences.merge(options.browser_preferences or {})

    def __repr__(self) -> str:
        return f"<Router {self._options.routing}>"

    async def choose(self, pool: Pool, package: ModelPackage, wish: Wish) -> tuple[Choice, Capabilities]:
        """Choose a browser, a backend and, of several precisions, one. The browser is started.

        Args:
            pool: The pool.
            package: The model, in the precision to begin with.
            wish: What the caller leaves open.

        Returns:
            The choice, and what that browser can do. If a contest chose, the choice's ``standing`` names the precision.

        Raises:
            BackendUnavailable: No browser can run that backend.
            WebinferError: No browser starts.
        """
        tuned = await self._tuned(pool, package, wish)
        choice, browser = tuned or await self._by_table(pool, package, wish)
        return choice, browser.capabilities

    async def _tuned(self, pool: Pool, package: ModelPackage, wish: Wish) -> tuple[Choice, Browser] | None:
        """Return the fastest candidate of a contest that the caller allows, and its browser; ``None`` without one."""
        is_open = wish.platform == "auto" or len(wish.precisions) > 1
        if self._options.routing == "table" or not is_open:
            return None
        model, here = identity(package), machine()["id"]
        known = await asyncio.to_thread(self._results.find, model, here)
        if not known:  # asking browsers for their versions starts processes, so it waits until a result may hold
            return None
        names = self._browsers(pool, package)
        versions = await asyncio.to_thread(
            _versions, [browser for browser in pool.installations if browser.name in names]
        )
        tuning = await asyncio.to_thread(self._results.recall, model, here, versions)
        standing = tuning.best(versions, lambda candidate: _allows(wish, candidate)) if tuning is not None else None
        return await self._take(pool, package, wish, tuning, standing) if tuning and standing else None

    async def _take(
        self, pool: Pool, package: ModelPackage, wish: Wish, tuning: Tuning, standing: Standing
    ) -> tuple[Choice, Browser] | None:
        """Return the choice of a contest's candidate, and its browser; ``None`` if it cannot run any more."""
        candidate = standing.candidate
        try:
            browser = await pool.ensure((candidate.browser,), candidate.backend)
        except (BackendUnavailable, BrowserError, LostError):
            return None  # the table chooses instead
        # The version on the disk is a guess: a browser that updates itself may start in another one.
        if not is_alike(browser.capabilities.engine_version, tuning.version_of(candidate.browser) or ""):
            return None
        route = self._route(pool, package)
        if route is not None:
            others = tuple(name for name in route.names if name != candidate.browser)
            why = tuning.explain(candidate)
            route = preferences.Route(route.family, route.wish, (candidate.browser, *others), why)
        return Choice(wish.platform, candidate.backend, None, route, None, "tuned", tuning, standing), browser

    async def _by_table(self, pool: Pool, package: ModelPackage, wish: Wish) -> tuple[Choice, Browser]:
        route = self._route(pool, package)
        names = route.names if route else ()
        required = None if wish.platform == "auto" else wish.platform
        why = None
        try:
            browser = await pool.ensure(names, required)
        except BackendUnavailable as error:
            if not wish.fallback:
                raise
            browser, why = await pool.ensure(names), str(error)
        backend = required if required and not why else browser.capabilities.choose()
        by: ChosenBy = "table" if wish.platform == "auto" else "caller"
        return Choice(wish.platform, backend, why, route, by=by), browser

    def _browsers(self, pool: Pool, package: ModelPackage) -> tuple[str, ...]:
        """Return the browsers that a model may use: those that the caller prefers for its family, else all."""
        names = tuple(installation.name for installation in pool.installations)
        if not preferences.is_named(package.family, self._options.browser_preferences or {}):
            return names
        preferred = self._preferences[package.family]
        return tuple(name for name in names if name in preferred) or names

    def _route(self, pool: Pool, package: ModelPackage) -> preferences.Route | None:
        installed = [installation.name for installation in pool.installations]
        return preferences.route(package.family, self._preferences, installed) if len(installed) > 1 else None


def avoid_fixed_shapes(choice: Choice, package: ModelPackage, varying: Collection[str]) -> Choice:
    """Return a choice with WebAssembly in place of WebNN, if the model's shapes differ from run to run.

    Args:
        choice: What was chosen.
        package: The model. If ``auto`` chose, a KV cache that grows with every step counts, too.
        varying: Inputs whose shape the caller knows to differ from run to run.
    """
    if choice.backend != "webnn":
        return choice
    if any(spec.name in varying for spec in package.signature.inputs):
        return choice.elsewhere("wasm", _VARYING)
    return choice.elsewhere("wasm", _GROWING) if choice.asked == "auto" and cache_of(package) else choice


def identity(package: ModelPackage) -> str:
    """Return the hash that results of tuning are stored under: the full-precision model's, if it is known.

    Args:
        package: The model, in any precision.
    """
    return str(package.quantized.get("from", package.sha256))


def _allows(wish: Wish, candidate: Candidate) -> bool:
    """Return whether the caller allows a candidate."""
    return candidate.precision in wish.precisions and wish.platform in ("auto", candidate.backend)


def _versions(installations: Iterable[Installation]) -> dict[str, str]:
    """Return the engine's version of each browser by name; empty if it is not known."""
    # WebKit's program has a version of its own; its pages report the engine's, which cannot be had without a start.
    return {
        installation.name: ""
        if installation.engine == "webkit"
        else version(installation.executable, installation.libraries) or ""
        for installation in installations
    }


def precision_obstacle(package: ModelPackage, backend: Backend, capabilities: Capabilities) -> str | None:
    """Return why a browser cannot run a model's precision on a backend, as far as that is known before a try.

    Args:
        package: The model.
        backend: The backend.
        capabilities: What the browser can do.

    Returns:
        The reason; ``None`` if there is none.
    """
    if package.precision in _HALF and backend == "webgpu" and "shader-f16" not in capabilities.features:
        return f"{package.precision} needs shader-f16, which this browser's WebGPU adapter lacks"
    if package.precision == "int8" and backend == "webnn":
        return (
            "WebNN's runtime answers wrongly for matrices of int8 with a scale to each column"  # ONNX Runtime Web 1.30
        )
    if backend == "webnn" and (count := package.quantized.get("weights_by_bits", {}).get("8", 0)) > _RESTORED:
        restored = f"restore {count / 1e6:.0f} million weights of 8 bits"
        return f"WebNN's runtime may ask for more memory at once than a page can have, to {restored}"
    return None
