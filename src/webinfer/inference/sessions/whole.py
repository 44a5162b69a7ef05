"""The sessions of a whole model: one for each shape that a backend must know beforehand, else one for all."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial

from webinfer.browsers.recipe import Recipe
from webinfer.core.capabilities import WEBNN_DEVICE
from webinfer.core.errors import PoolClosed
from webinfer.core.progress import Progress, ProgressCallback
from webinfer.core.tensors import DTYPES
from webinfer.deployment.prepare import Delivery
from webinfer.inference.route import Choice
from webinfer.inference.sessions.base import Answer
from webinfer.inference.sessions.capture import GraphCapture
from webinfer.models.files.package import ModelFile, ModelPackage
from webinfer.pool.events import SessionLoaded
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.buckets import EXACT, Fit, FixedShapes
from webinfer.pool.pool import Pool
from webinfer.pool.requests.request import Request
from webinfer.transport.wire.commands import ExternalSource, FileSource

_OPEN = "WebNN takes fixed shapes, and this model is given ever new ones: it ran in a session of open sizes"
_STATE = "present"  # how exporters begin the names of keys and values


class Sessions:
    """The sessions of a model that one lane runs whole.

    Args:
        pool: The pool.
        package: The model.
        delivery: What lanes are given of it.
        choice: Where it runs.

    Attributes:
        whole: True.
        delivery: As given.
        capture: Which of its runs a GPU may record and replay.
    """

    whole = True

    def __init__(self, pool: Pool, package: ModelPackage, delivery: Delivery, choice: Choice) -> None:
        self.delivery = delivery
        self.capture = GraphCapture(package.signature, choice.backend, pool.options.graph_capture)
        self._pool = pool
        self._package = package
        self._choice = choice
        self._keys: set[SessionKey] = set()  # those that the pool knows
        self._running: Counter[SessionKey] = Counter()  # requests of each that are not answered yet
        self._shapes = FixedShapes()
        self._own: dict[tuple[tuple[str, int], ...], SessionKey] = {}  # of the shapes in ``_shapes``
        self._closed = False

    def __repr__(self) -> str:
        return f"<Sessions {self._package.name} {len(self._keys)}>"

    @property
    def hashes(self) -> tuple[str, ...]:
        """The model's hash."""
        return (self._package.sha256,)

    def open(self, bucket: Fit, *, stays: bool = False) -> SessionKey:
        """Return the key of the session for a shape, made known to the pool; see ``ModelSessions.open``.

        Args:
            bucket: The shape.
            stays: Whether tensors of the run stay on its lane.

        Raises:
            PoolClosed: The model was closed.
        """
        if self._closed:
            raise PoolClosed(f"{self._package.name} was closed: load it again.")
        backend, route = self._choice.backend, self._choice.route
        captured = not stays and self.capture.fits(bucket)
        dimensions = bucket.padded if backend == "webnn" or captured else ()
        browsers = route.names if route else ()
        key = SessionKey(self._package.sha256, backend, self._package.precision, dimensions, browsers, captured)
        if dimensions and not bucket.is_bucket and (key not in self._keys or dimensions in self._own):
            key = self._admit(key)
        self._know(key)
        return key

    def release(self, bucket: Fit) -> None:
        """Release the session of a shape that is none of the few buckets, unless something runs in it.

        Args:
            bucket: The shape.
        """
        if bucket.padded in self._own:
            self._release_shape(bucket.padded)

    def loaded(self, bucket: Fit) -> tuple[bool, ...]:
        """Return whether a lane holds the session for a shape already.

        Args:
            bucket: The shape.
        """
        return (self._pool.holds(self.open(bucket)),)

    async def load(self, bucket: Fit, progress: ProgressCallback | None = None) -> tuple[SessionLoaded, ...]:
        """Have the session for a shape created; the one for every shape, where no run of it can be recorded.

        Args:
            bucket: The shape.
            progress: Called with the bytes fetched so far.

        Returns:
            The event of its creation.

        Raises:
            WebinferError: As the lane reported it.
        """
        on_transfer = partial(_report_progress, progress, f"load {self._package.name}") if progress else None
        key = self.open(bucket)
        event = await self._pool.load(key, on_transfer)
        if isinstance(event.captured, str):
            self.capture.refuse(event.captured)
            # Only recorded runs need a session for each shape: without them, one session serves all shapes.
            self._keys.remove(key)
            self._pool.unload(key)
            event = await self._pool.load(self.open(EXACT), on_transfer)
        return (event,)

    async def answer(self, request: Request, bucket: Fit) -> Answer:
        """Have a request computed on one lane; see ``ModelSessions.answer``.

        Args:
            request: The request.
            bucket: The shape that its tensors are brought to.

        Returns:
            The outputs, and the lane that computed them.

        Raises:
            asyncio.CancelledError: The caller gave the request up, and so does the pool.
        """
        keys = {request.key} if request.group is None else {request.key, request.group.key}
        for key in keys:
            self._know(key)  # another shape may have taken its place since it was opened
        self._running.update(keys)
        future = self._pool.submit(request)
        try:
            reply = await future
        except asyncio.CancelledError:
            self._pool.give_up(request)
            raise
        finally:
            self._running.subtract(keys)
        assert request.lane is not None
        outcome = reply.answer.captured
        notes = self.capture.note(outcome, request.key.captured)
        if request.key.backend == "webnn" and bucket.sizes and not request.key.dimensions:
            notes = (*notes, _OPEN)
        return Answer(reply.tensors, (request.lane,), outcome is True, notes, reply.answer.bundle)

    def recipe(self, key: SessionKey) -> Recipe:
        """Return how a lane creates a session.

        Args:
            key: Which session.
        """
        return Recipe(
            FileSource(self._publish(self.delivery.model), self.delivery.model.nbytes),
            tuple(ExternalSource(file.name, self._publish(file), file.nbytes) for file in self.delivery.external),
            key.backend,
            key.dimensions,
            WEBNN_DEVICE if key.backend == "webnn" else None,
            {spec.name: DTYPES[spec.dtype] for spec in self._package.signature.outputs},
            self._pool.options.store_models,
            self._choice.require == "no-fallback",
            self._resident(),
            key.captured,
        )

    def end_capture(self, reason: str) -> None:
        """Have no run recorded from now on; see ``ModelSessions.end_capture``.

        Args:
            reason: Why, in words.
        """
        self.capture.stop(reason)
        for key in [key for key in self._keys if key.captured and not self._running[key]]:
            if key.dimensions in self._own:
                self._release_shape(key.dimensions)
            else:
                self._keys.remove(key)
                self._pool.unload(key)

    def withdraw(self) -> None:
        """Release them all until they are opened again; see ``ModelSessions.withdraw``."""
        for key in self._keys:
            self._pool.unload(key)
        self._keys.clear()
        self._own.clear()
        self._shapes = FixedShapes()

    def _admit(self, key: SessionKey) -> SessionKey:
        """Return the session for a shape of which there may be any number: its own, or the one of open sizes."""
        if not self._shapes.admit(key.dimensions, at_once=self._choice.require == "no-fallback"):
            return key._replace(dimensions=(), captured=False)
        self._own[key.dimensions] = key
        for shape in self._shapes.surplus():
            self._release_shape(shape)
        return key

    def _know(self, key: SessionKey) -> None:
        """Make a session known to the pool.

        Raises:
            PoolClosed: The model was closed.
        """
        if self._closed:
            raise PoolClosed(f"{self._package.name} was closed: load it again.")
        if key not in self._keys:
            self._keys.add(key)
            self._pool.open(key, self.recipe(key))

    def _release_shape(self, shape: tuple[tuple[str, int], ...]) -> None:
        key = self._own[shape]
        if self._running[key]:
            return
        del self._own[shape], self._running[key]
        self._shapes.drop(shape)
        if key in self._keys:
            self._keys.remove(key)
            self._pool.unload(key)

    def close(self) -> None:
        """Release them all."""
        self._closed = True
        self.withdraw()

    def _resident(self) -> tuple[str, ...]:
        """Return the outputs of a step that the next one takes, where they may stay with the GPU."""
        if not self._pool.options.resident_state:
            return ()
        outputs = self._package.signature.outputs
        return tuple(spec.name for spec in outputs if spec.name.startswith(_STATE))

    def _publish(self, file: ModelFile) -> str:
        """Return the URL under which lanes fetch a file."""
        url = self._pool.host.publish(file.path, file.sha256)
        part = "" if file.start is None else f"?start={file.start}&nbytes={file.nbytes}"
        return url + part


def _report_progress(progress: ProgressCallback, stage: str, done: int, total: int | None) -> None:
    progress(Progress(stage, done, total))
