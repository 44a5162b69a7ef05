"""From what a caller asked for to a model that is loaded: its files, its place, its session, the correctness gate."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from webinfer.api.builder import Builder
from webinfer.api.gate import Gate
from webinfer.api.precisions import instead, obstacle, obtained, told
from webinfer.api.router import Router
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import (
    AccuracyError,
    BackendUnavailable,
    LoadFailed,
    LostError,
    ModelError,
    UnsupportedOperator,
)
from webinfer.core.options import PLATFORMS, REQUIREMENTS, Options, Platform, Requirement, one_of
from webinfer.core.progress import ProgressCallback
from webinfer.inference.kv_cache import spare_fixed_shapes
from webinfer.inference.model import AsyncModel
from webinfer.inference.route import Choice
from webinfer.models.files.package import ModelPackage
from webinfer.pool.pool import Pool
from webinfer.telemetry.recorder import Recorder

log = logging.getLogger("webinfer")

_VARYING = "WebNN takes fixed shapes, and the inputs of this model have others in each run"


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller asked for; see ``AsyncAccelerator.load``.

    Attributes:
        precision: Precision to begin with.
        others: Precisions that may be taken in its place.
        varying: Inputs whose shape is another in each run.
        lost: Why it is another precision than the caller asked for, where it is.
    """

    reference: str | Path
    platform: Platform | None = None
    precision: str | None = None
    fallback: bool = False
    progress: ProgressCallback | None = None
    part: str | None = None
    require: Requirement | None = None
    varying: Collection[str] = ()
    lost: str | None = None
    others: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.platform is not None:
            one_of("platform", self.platform, PLATFORMS)
        if self.require is not None:
            one_of("require", self.require, REQUIREMENTS)

    def lowered(self, precision: str, why: str) -> Order:
        """Return the same in another precision."""
        others = tuple(each for each in self.others if each != precision)
        return replace(self, precision=precision, others=others, lost=f"{self.lost}; {why}" if self.lost else why)

    def instead(self, package: ModelPackage) -> str | None:
        """Return the precision to try where this one cannot be run; ``None`` to give up."""
        return self.others[0] if self.others else instead(package, self.precision, self.fallback)


class Supplier:
    """Loads models.

    Args:
        options: Returns the options of the accelerator as they are now.
        recorder: Told of every result.
        router: Decides on a browser and a backend.
        open: Returns the pool, started.
        name: Told of each model before it is loaded.

    Attributes:
        models: The models that are open.
    """

    def __init__(
        self,
        options: Callable[[], Options],
        recorder: Recorder,
        router: Router,
        open: Callable[[], Awaitable[Pool]],
        name: Callable[[ModelPackage], None],
    ) -> None:
        self.models: set[AsyncModel] = set()
        self._options = options
        self._router = router
        self._builder = Builder(options(), recorder, self.models.discard)
        self._open = open
        self._name = name

    def __repr__(self) -> str:
        return f"<Supplier models={len(self.models)}>"

    def holders(self, pool: Pool) -> dict[str, set[str]]:
        """Return the ids of the browsers that hold each model loaded, by its hash; of one in stages, any of these."""
        found = pool.holders()
        for model in self.models:
            if not model.sessions.whole:
                stages = (found.get(stage, set()) for stage in model.sessions.hashes)
                found[model.package.sha256] = set().union(*stages)
        return found

    async def supply(self, order: Order) -> AsyncModel:
        """Load a model; where its precision cannot be had and the order allows it, in the next one.

        Raises:
            WebinferError: As ``AsyncAccelerator.load``.
        """
        package, pool = await asyncio.gather(
            obtained(order.reference, order.precision, order.part, order.progress), self._started()
        )
        chosen, capabilities = await self._choose(pool, package, order)
        why, other = obstacle(package, chosen.backend, capabilities), order.instead(package)
        if why and not other and chosen.asked == "auto" and chosen.backend != "wasm":  # which runs every precision
            chosen, why = told(replace(chosen, backend="wasm"), f"{why}, so wasm was taken"), None
        if why and order.precision and not other:
            raise BackendUnavailable(
                f"{why}: take another platform or precision, or allow a fallback.", backend=chosen.backend
            )
        if why and other:
            return await self._again(order, other, f"{why}, so {other} was taken")
        self._name(package)
        try:
            model = await self._loaded_somewhere(pool, package, chosen, order.progress)
        except (LoadFailed, UnsupportedOperator, LostError) as error:
            if other is None:
                raise
            why = f"{package.precision} could not be loaded on {chosen.backend} ({error}), so {other} was taken"
        else:
            try:
                model = await self._admitted(pool, model, order)
            except AccuracyError as error:
                if other is None or not order.others:
                    raise
                why = str(error)
            else:
                return await self._prepared(model)
        return await self._again(order, other, why)

    async def _started(self) -> Pool:
        """Have a browser up; of several, the family decides which."""
        pool = await self._open()
        if not self._options().browsers:
            await pool.ensure()
        return pool

    async def _choose(self, pool: Pool, package: ModelPackage, order: Order) -> tuple[Choice, Capabilities]:
        """Decide where a model is loaded."""
        asked = order.platform or self._options().platform
        chosen, capabilities = await self._router.choose(pool, package, asked, order.fallback)
        chosen = spare_fixed_shapes(replace(chosen, require=order.require or self._options().require), package)
        if chosen.backend == "webnn" and any(spec.name in order.varying for spec in package.signature.inputs):
            chosen = replace(chosen, backend="wasm", reason=_VARYING)
        return told(chosen, order.lost), capabilities

    async def _again(self, order: Order, precision: str, why: str) -> AsyncModel:
        log.info("%s: %s", order.reference, why)
        return await self.supply(order.lowered(precision, why))

    async def _loaded_somewhere(
        self, pool: Pool, package: ModelPackage, chosen: Choice, progress: ProgressCallback | None
    ) -> AsyncModel:
        """Load a model; on WebAssembly, which runs the most, where ``auto`` chose a backend that does not take it."""
        try:
            return await self._loaded(pool, package, chosen, progress)
        except (LoadFailed, UnsupportedOperator, LostError) as error:
            if chosen.asked != "auto" or chosen.backend == "wasm":
                raise
            why = f"{chosen.backend} could not load it ({str(error).splitlines()[0]}), so wasm was taken"
            log.info("%s: %s", package.name, why)
            return await self._loaded(pool, package, replace(chosen, backend="wasm", reason=why), progress)

    async def _loaded(
        self, pool: Pool, package: ModelPackage, chosen: Choice, progress: ProgressCallback | None = None
    ) -> AsyncModel:
        """Make a model and load it, unless it is known to be wrong."""
        model = await self._builder.build(pool, package, chosen)
        self.models.add(model)
        try:
            if not await Gate(pool, self._options()).bars(model):
                await model.load(progress)
        except BaseException:
            await model.close()
            raise
        return model

    async def _admitted(self, pool: Pool, model: AsyncModel, order: Order) -> AsyncModel:
        """Have the gate look at a model; returns it, or what takes its place."""

        async def make(package: ModelPackage, choice: Choice) -> AsyncModel:
            return await self._loaded(pool, package, choice)

        return await Gate(pool, self._options()).admit(model, make, lambda: _finer(order, model.package))

    async def _prepared(self, model: AsyncModel) -> AsyncModel:
        """Do with a loaded model what the options ask for."""
        try:
            if self._options().warm_up:
                await model.warm_up()
            if self._options().max_batch_size > 1:
                await model.set_max_batch_size(self._options().max_batch_size)
        except BaseException:
            await model.close()
            raise
        return model


async def _finer(order: Order, package: ModelPackage) -> AsyncIterator[ModelPackage]:
    """Yield a model in what takes a precision's place: the next one, if one was asked for, then the full one."""
    following = instead(package, order.precision, fallback=True)
    for precision in dict.fromkeys((following, "fp32")):
        if precision is None:
            continue
        try:
            found = await obtained(order.reference, precision, order.part, order.progress)
        except ModelError:
            continue  # there is no such, and it cannot be made
        if found.sha256 != package.sha256:
            yield found
