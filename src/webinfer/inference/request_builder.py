"""From a caller's inputs to a request: text, images and sound are read, tensors checked and padded, a limit set."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray

from webinfer.browsers.lane import Lane
from webinfer.browsers.recipe import Residents
from webinfer.core.errors import HandleLost, OptionError
from webinfer.core.options import Backend
from webinfer.core.options.validation import seconds
from webinfer.core.placement import LaneId
from webinfer.core.tensors import prepare, refuse_unknown
from webinfer.inference.probes.audio import AudioInputs, Workgroup
from webinfer.inference.probes.padding import Padding
from webinfer.inference.route import combination, join_combinations
from webinfer.inference.sessions import ModelSessions
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.reader import Reader
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.batching import BatchGroup, Batching, group
from webinfer.pool.plan.buckets import EXACT, Fit, batch_dimension, cut_inputs, pad, smallest, with_rows
from webinfer.pool.plan.timeouts import run_timeout
from webinfer.pool.pool import Pool
from webinfer.pool.requests.request import Request

if TYPE_CHECKING:
    from PIL.Image import Image

Inputs: TypeAlias = "Mapping[str, Any] | NDArray[Any] | Sequence[Any] | str | Path | Image"
Arrays: TypeAlias = Mapping[str, NDArray[Any]]


class RequestBuilder:
    """Makes the requests of one model.

    Args:
        pool: The pool, whose time limits and lanes it asks.
        package: The model.
        backend: Backend that runs it.
        browsers: Names of the browsers that may run it; none for any.
        sessions: Its sessions.
        workgroup: Workgroup of the audio shader; ``None`` has numpy make the features.

    Attributes:
        reader: The model's tokenizer, image processor and feature extractor.
        audio: Makes features of recordings.
        family: The family, or group of families, whose factor the time limit has.
        batching: How requests run together; ``None`` where each runs alone.
        padding: What may be padded.
    """

    def __init__(
        self,
        pool: Pool,
        package: ModelPackage,
        backend: Backend,
        browsers: Collection[str],
        sessions: ModelSessions,
        workgroup: Workgroup | None,
    ) -> None:
        self.reader = Reader(package)
        self.audio = AudioInputs(pool, self.reader, workgroup)
        self.family: str = package.family
        self.batching: Batching | None = None
        self.padding = Padding(
            package, self._run_there, self._find_lane, self._combine, sessions.release, self._longest
        )
        self._pool = pool
        self._package = package
        self._browsers = browsers
        self._name = package.name
        self._signature = package.signature
        self._backend = backend
        self._sessions = sessions
        self._in_rows = batch_dimension(package.signature) is not None

    def __repr__(self) -> str:
        return f"<RequestBuilder {self._name} on {self._backend}>"

    def smallest(self) -> Fit:
        """Return the shape that a session is made for before any request is known."""
        reader = self.reader
        return smallest(self._signature, self._backend, reader.image_shape, reader.positions.count)

    async def read(self, inputs: Inputs) -> Inputs:
        """Return inputs with their images and recordings as tensors; what holds none, as it is.

        Args:
            inputs: What the caller gave.

        Raises:
            InputError: A file cannot be read, or is not what the model takes.
        """
        return await self.audio.prepare(inputs) if self.reader.holds_files(inputs) else inputs

    def build(
        self,
        inputs: Inputs,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        priority: int = 0,
        *,
        gains: bool = False,
    ) -> tuple[Request, Fit]:
        """Make a request of inputs that hold no files any more.

        Args:
            inputs: What ``read`` returned.
            outputs: Names of the outputs wanted; ``None`` for all.
            timeout: Seconds that it may take; ``None`` takes the model's own limit.
            priority: Higher ones go first.
            gains: Whether it gains by padding even where most requests do not.

        Returns:
            The request, and the shape that its tensors were brought to. Where that says ``unproven``, the request has
            to be settled before it runs.

        Raises:
            InputError: The inputs do not fit the model's signature.
            OptionError: The timeout or the priority cannot be.
        """
        tensors = prepare(self._signature, self.reader.text(inputs), empty=self._backend == "wasm")
        self.reader.check(tensors)
        if outputs is not None:
            refuse_unknown(outputs, self._signature, self._name)
        limit = self._limit_of(tensors, timeout, priority)
        wanted = list(outputs) if outputs else None
        bucket = self._fit(tensors, gains)
        key = self._sessions.open(bucket)
        request = Request(key, tensors, wanted, limit, self._items(tensors), priority)
        self._bring(request, key, bucket)
        request.audio_shader = getattr(inputs, "audio_shader", None)
        return request, bucket

    def build_internal(self, tensors: Arrays) -> tuple[Request, Fit]:
        """Make a request that no caller asked for: it runs alone and counts nowhere; see ``build``.

        Args:
            tensors: Inputs by name.

        Returns:
            The request, and the shape that its tensors were brought to.
        """
        request, bucket = self.build(tensors)
        request.group, request.internal = None, True
        return request, bucket

    async def build_warm(self, tensors: Arrays) -> tuple[Request, Fit]:
        """Make a request that warms up the shape that later ones are padded to; see ``build_internal``.

        Args:
            tensors: Inputs by name.

        Returns:
            The request, settled, and the shape that its tensors were brought to.
        """
        request, bucket = self.build(tensors, gains=True)
        request.group, request.internal = None, True
        return request, await self.settle(request, bucket, gains=True)

    async def settle(self, request: Request, bucket: Fit, *, gains: bool = False) -> Fit:
        """Have it found out whether the padding that a request wants is exact, and bring the request to its bucket.

        Args:
            request: The request, which has not been sent yet.
            bucket: What it was brought to so far.
            gains: As ``build`` took it.

        Returns:
            The shape that its tensors are brought to now.

        Raises:
            PoolClosed: The model or its accelerator was closed.
            QueueFull: ``max_queue`` requests wait already.
        """
        if not bucket.unproven:
            return bucket
        while bucket.unproven:
            await self.padding.prove(bucket.unproven)
            bucket = self._fit(request.tensors, gains)
        self._bring(request, self._sessions.open(bucket), bucket)
        return bucket

    def without_padding(self, request: Request, bucket: Fit, reason: str) -> tuple[Request, Fit]:
        """Return a request whose padding turned out not to be exact, as it was made, to run once more.

        Args:
            request: The request, which was answered.
            bucket: The shape that its tensors were brought to.
            reason: What its answer showed.
        """
        tensors = cut_inputs(self._signature, request.tensors, bucket)
        self.padding.refuse(bucket, reason)
        again, exact = replace(request, tensors=tensors, settled=False, lane=None), self._fit(tensors, False)
        self._bring(again, self._sessions.open(exact), exact)
        return again, exact

    def reopen(self, request: Request, bucket: Fit) -> None:
        """Have a request that was answered run once more, in the session that its shape has now.

        Args:
            request: The request, not sent again yet.
            bucket: The shape that its tensors were brought to.
        """
        request.key = self._sessions.open(bucket)
        if self.batching is not None and not request.internal:
            request.group = self._batch_group(self.batching, request.key, bucket, request)

    def build_resident(
        self,
        tensors: Arrays,
        outputs: Sequence[str],
        residents: Residents,
        lane: LaneId | None,
        *,
        bucket: Fit = EXACT,
        timeout: float | None = None,
        priority: int = 0,
    ) -> tuple[Request, Fit]:
        """Make a request some of whose tensors stay on a lane.

        Args:
            tensors: Inputs by name, without those that are on the lane already.
            outputs: Names of the outputs to send.
            residents: What is on the lane, and what stays there.
            lane: The lane; ``None`` where nothing lies on one yet.
            bucket: The shape of all tensors, where the backend has to know it.
            timeout: As ``build`` takes it.
            priority: As ``build`` takes it.

        Returns:
            The request, and the shape of its tensors, which is their own.

        Raises:
            HandleLost: The lane or its session is gone.
            InputError: The inputs are not what the model takes.
        """
        self.reader.check(tensors)
        key = self._sessions.open(bucket, stays=True)
        if lane is not None and not self._pool.holds(key, lane):
            why = f"Lane {lane} or its session is gone, and the tensors kept there: start over."
            raise HandleLost(why, lane=str(lane))
        limit = self._limit_of(tensors, timeout, priority)
        request = Request(key, tensors, list(outputs), limit, self._items(tensors), priority)
        request.residents, request.pinned = residents, lane
        return request, bucket

    def pin(self, request: Request, lane: Lane) -> None:
        """Have a request run on a lane and nowhere else, if that holds its session.

        Args:
            request: The request, which has not been sent yet.
            lane: The lane.
        """
        if self._pool.holds(request.key, lane.id):
            request.pinned = lane.id

    def free(self, lane: LaneId, handles: Sequence[str]) -> None:
        """Release tensors that stayed on a lane, unless it is gone.

        Args:
            lane: The lane's id.
            handles: Names that the tensors were kept under.
        """
        self._pool.free(lane, handles)

    def _longest(self) -> int | None:
        """Return the longest sequence that the model takes, where that is known."""
        return self.reader.positions.count or None

    def _fit(self, tensors: Arrays, gains: bool) -> Fit:
        """Return the bucket of a request.

        WebAssembly takes every shape as it comes. WebGPU does, too: it gains where runs of a shape are recorded, or
        texts of several lengths may share a batch.
        """
        if self._backend == "wasm":
            return EXACT
        few = self._backend == "webnn" or self._sessions.capture.open or self.batching is not None
        return self.padding.fit(tensors, gains=gains or few)

    def _bring(self, request: Request, key: SessionKey, bucket: Fit) -> None:
        """Bring a request's tensors to its bucket, and say with whom it may run then."""
        request.key = key
        if not bucket.exact:
            request.tensors = pad(self._signature, request.tensors, bucket)
        if self.batching is not None and not request.internal and not bucket.unproven:
            request.group = self._batch_group(self.batching, key, bucket, request)

    async def _run_there(self, tensors: Arrays, bucket: Fit, at: Lane | None) -> tuple[Arrays, tuple[Lane, ...]]:
        """Run inputs that have the sizes of a bucket, for no caller, on a lane if that holds the session.

        Returns:
            The outputs, and the lanes that computed them.
        """
        request = Request(self._sessions.open(bucket), tensors, None, self._limit(tensors))
        request.internal = request.replaceable = True  # one lane is enough to learn that its runtime dies of it
        if at is not None:
            self.pin(request, at)
        answer = await self._sessions.answer(request, bucket)
        return answer.tensors, answer.lanes

    def _find_lane(self) -> Lane | None:
        """Return a lane of the browsers that may run the model, if one is up."""
        lanes = self._pool.lanes.values()
        return next((lane for lane in lanes if not self._browsers or lane.browser_name in self._browsers), None)

    def _combine(self, lanes: tuple[Lane, ...]) -> dict[str, str]:
        sessions = self._sessions
        graph, captured = sessions.delivery.model.sha256, sessions.capture.open
        about = (
            combination(self._package, self._backend, lane, graph=graph, captured=captured)
            for lane in dict.fromkeys(lanes)
        )
        return join_combinations(list(about))

    def _batch_group(self, batching: Batching, key: SessionKey, bucket: Fit, request: Request) -> BatchGroup | None:
        """Return which requests this one may run with; ``None`` for one that runs alone."""
        alike = group(request.tensors, request.outputs)
        if alike is None:
            return None
        rows = batching.rows(1)
        alone = rows == 1 or not key.dimensions  # a session of open sizes takes any number of rows
        together = key if alone else self._sessions.open(with_rows(self._signature, bucket, rows))
        return BatchGroup(batching, alike, key, together)

    def _limit_of(self, tensors: Arrays, timeout: float | None, priority: int) -> float | None:
        """Return the seconds that a caller's request may take.

        Raises:
            OptionError: The timeout or the priority cannot be.
        """
        if not isinstance(priority, int):
            raise OptionError(f"priority must be a whole number, not {priority!r}.", option="priority")
        return self._limit(tensors) if timeout is None else seconds("timeout", timeout)

    def _limit(self, tensors: Arrays) -> float | None:
        """Return the seconds that a run may take."""
        timeouts = self._pool.timeouts
        nbytes = sum(array.nbytes for array in tensors.values()) if timeouts.large != 1 else 0
        return run_timeout(timeouts, self.family, nbytes)

    def _items(self, tensors: Arrays) -> int:
        for array in tensors.values():
            return array.shape[0] if self._in_rows and array.ndim > 1 else 1
        return 1
