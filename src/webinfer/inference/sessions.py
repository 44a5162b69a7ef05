"""The sessions of a model: one for each shape that a backend must know beforehand, else one for all."""

from __future__ import annotations

from webinfer.browsers.lane import Asset, Recipe
from webinfer.core.capabilities import WEBNN_DEVICE
from webinfer.core.options import Backend
from webinfer.core.tensors import DTYPES
from webinfer.deployment.prepare import Delivery
from webinfer.inference.graph_capture import Captures
from webinfer.inference.route import Choice
from webinfer.models.files.package import ModelFile, ModelPackage
from webinfer.pool.events import SessionLoaded
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.buckets import EXACT, Fit
from webinfer.pool.pool import Pool
from webinfer.transport.connection import OnTransfer

_STATE = "present"  # how exporters begin the names of keys and values


class Sessions:
    """What the pool knows of one model.

    Args:
        pool: The pool.
        package: The model.
        delivery: What lanes are given of it.
        choice: Where it runs.

    Attributes:
        captures: Which of its runs may be recorded and replayed.
    """

    def __init__(self, pool: Pool, package: ModelPackage, delivery: Delivery, choice: Choice) -> None:
        self._pool = pool
        self._package = package
        self._delivery = delivery
        self._choice = choice
        self._keys: set[SessionKey] = set()
        self.captures = Captures(package.signature, choice.backend, pool.options.graph_capture)

    def __repr__(self) -> str:
        return f"<Sessions {self._package.name} {len(self._keys)}>"

    @property
    def alike(self) -> Backend:
        """The backend whose sessions they are like: WebNN's have one shape each, and so have recorded ones."""
        return "webnn" if self.captures.open else self._choice.backend

    def open(self, how: Fit, *, stays: bool = False) -> SessionKey:
        """Return the key of the session for a shape, made known to the pool.

        Args:
            how: The shape.
            stays: Whether tensors of the run stay on its lane; a recorded one would overwrite them with its next.
        """
        backend, route = self._choice.backend, self._choice.route
        captured = not stays and self.captures.fits(how)
        dimensions = how.padded if backend == "webnn" or captured else ()
        browsers = route.names if route else ()
        key = SessionKey(self._package.sha256, backend, self._package.precision, dimensions, browsers, captured)
        if key not in self._keys:
            self._keys.add(key)
            self._pool.open(key, self.recipe(key))
        return key

    async def load(self, key: SessionKey, on_transfer: OnTransfer | None = None) -> SessionLoaded:
        """Have a session created on at least one lane; the one for every shape, where no run of it can be recorded.

        Raises:
            WebinferError: As the lane reported it.
        """
        loaded = await self._pool.load(key, on_transfer)
        if isinstance(loaded.captured, str):
            self.captures.refused(loaded.captured)
            self._keys.remove(key)
            self._pool.unload(key)
            loaded = await self._pool.load(self.open(EXACT), on_transfer)
        return loaded

    def recipe(self, key: SessionKey) -> Recipe:
        """Return how a lane creates a session."""
        return Recipe(
            self._publish(self._delivery.model),
            tuple(map(self._publish, self._delivery.external)),
            key.backend,
            key.dimensions,
            WEBNN_DEVICE if key.backend == "webnn" else None,
            {spec.name: DTYPES[spec.dtype] for spec in self._package.signature.outputs},
            self._pool.options.store_models,
            self._choice.require == "no-fallback",
            self._resident(),
            key.captured,
        )

    def close(self) -> None:
        """Release them all."""
        for key in self._keys:
            self._pool.unload(key)

    def _resident(self) -> tuple[str, ...]:
        """Return the outputs of a step that the next one takes, where they may stay with the GPU."""
        if not self._pool.options.resident_state:
            return ()
        outputs = self._package.signature.outputs
        return tuple(spec.name for spec in outputs if spec.name.startswith(_STATE))

    def _publish(self, file: ModelFile) -> Asset:
        url = self._pool.host.publish(file.path, file.sha256)
        part = "" if file.start is None else f"?start={file.start}&nbytes={file.nbytes}"
        return Asset(file.name, url + part, file.nbytes)
