"""The sessions of a model: one for each shape that a backend must know beforehand, else one for all."""

from __future__ import annotations

from webinfer.capabilities import WEBNN_DEVICE
from webinfer.choice import Choice
from webinfer.lane import Asset, Recipe
from webinfer.models import ModelFile, ModelPackage
from webinfer.models.delivery import Delivery
from webinfer.policy.assignment import SessionKey
from webinfer.policy.buckets import Fit
from webinfer.pool import Pool
from webinfer.tensors import DTYPES

_STATE = "present"  # how exporters begin the names of keys and values


class Sessions:
    """What the pool knows of one model.

    Args:
        pool: The pool.
        package: The model.
        delivery: What lanes are given of it.
        choice: Where it runs.
    """

    def __init__(self, pool: Pool, package: ModelPackage, delivery: Delivery, choice: Choice) -> None:
        self._pool = pool
        self._package = package
        self._delivery = delivery
        self._choice = choice
        self._keys: set[SessionKey] = set()

    def __repr__(self) -> str:
        return f"<Sessions {self._package.name} {len(self._keys)}>"

    def open(self, how: Fit) -> SessionKey:
        """Return the key of the session for a shape, made known to the pool."""
        backend, route = self._choice.backend, self._choice.route
        dimensions = how.padded if backend == "webnn" else ()
        browsers = route.names if route else ()
        key = SessionKey(self._package.sha256, backend, self._package.precision, dimensions, browsers)
        if key not in self._keys:
            self._keys.add(key)
            self._pool.open(key, self.recipe(key))
        return key

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
