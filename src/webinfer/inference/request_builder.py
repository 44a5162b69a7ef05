"""From a caller's inputs to a request: text, images and sound are read, tensors checked and padded, a limit set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray

from webinfer.browsers.recipe import Residents
from webinfer.core.errors import HandleLost, OptionError
from webinfer.core.options import Backend
from webinfer.core.options.validation import seconds
from webinfer.core.placement import LaneId
from webinfer.core.tensors import prepare, refuse_unknown
from webinfer.inference.probes.audio import AudioInputs, Workgroup
from webinfer.inference.sessions import ModelSessions
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.reader import Reader
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.plan.batching import BatchGroup, Batching, group
from webinfer.pool.plan.buckets import EXACT, Fit, batch_dimension, fit, pad, smallest, with_rows
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
        sessions: Its sessions.
        workgroup: Workgroup of the audio shader; ``None`` has numpy make the features.

    Attributes:
        reader: The model's tokenizer, image processor and feature extractor.
        audio: Makes features of recordings.
        family: The family, or group of families, whose factor the time limit has.
        batching: How requests run together; ``None`` where each runs alone.
    """

    def __init__(
        self,
        pool: Pool,
        package: ModelPackage,
        backend: Backend,
        sessions: ModelSessions,
        workgroup: Workgroup | None,
    ) -> None:
        self.reader = Reader(package)
        self.audio = AudioInputs(pool, self.reader, workgroup)
        self.family: str = package.family
        self.batching: Batching | None = None
        self._pool = pool
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
    ) -> tuple[Request, Fit]:
        """Make a request of inputs that hold no files any more.

        Args:
            inputs: What ``read`` returned.
            outputs: Names of the outputs wanted; ``None`` for all.
            timeout: Seconds that it may take; ``None`` takes the model's own limit.
            priority: Higher ones go first.

        Returns:
            The request, and the shape that its tensors were brought to.

        Raises:
            InputError: The inputs do not fit the model's signature.
            OptionError: The timeout or the priority cannot be.
        """
        signature = self._signature
        tensors = given = prepare(signature, self.reader.text(inputs))
        self.reader.check(tensors)
        bucket = fit(signature, tensors, self._backend, self.reader.positions.count)
        if not bucket.exact:
            tensors = pad(signature, tensors, bucket)
        if outputs is not None:
            refuse_unknown(outputs, signature, self._name)
        if not isinstance(priority, int):
            raise OptionError(f"priority must be a whole number, not {priority!r}.", option="priority")
        # The limit goes by the caller's own inputs; padding must not change it.
        limit = self._limit(given) if timeout is None else seconds("timeout", timeout)
        wanted = list(outputs) if outputs else None
        key = self._sessions.open(bucket)
        request = Request(key, tensors, wanted, limit, self._items(tensors), priority)
        if self.batching is not None:
            request.group = self._batch_group(self.batching, key, bucket, request)
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

    def build_resident(
        self, tensors: Arrays, outputs: Sequence[str], residents: Residents, lane: LaneId | None
    ) -> tuple[Request, Fit]:
        """Make a request some of whose tensors stay on a lane.

        Args:
            tensors: Inputs by name, without those that are on the lane already.
            outputs: Names of the outputs to send.
            residents: What is on the lane, and what stays there.
            lane: The lane; ``None`` where nothing lies on one yet.

        Returns:
            The request, and the shape of its tensors, which is their own.

        Raises:
            HandleLost: The lane or its session is gone.
            InputError: The inputs are not what the model takes.
        """
        self.reader.check(tensors)
        key = self._sessions.open(EXACT, stays=True)
        if lane is not None and key not in getattr(self._pool.lane_states.get(lane), "loaded", ()):
            why = f"Lane {lane} or its session is gone, and the tensors kept there: start over."
            raise HandleLost(why, lane=str(lane))
        request = Request(key, tensors, list(outputs), self._limit(tensors), self._items(tensors))
        request.residents, request.pinned = residents, lane
        return request, EXACT

    def free(self, lane: LaneId, handles: Sequence[str]) -> None:
        """Release tensors that stayed on a lane, unless it is gone.

        Args:
            lane: The lane's id.
            handles: Names that the tensors were kept under.
        """
        if handles and lane in self._pool.lanes:
            self._pool.lanes[lane].free(handles)

    def _batch_group(self, batching: Batching, key: SessionKey, bucket: Fit, request: Request) -> BatchGroup | None:
        """Return which requests this one may run with; ``None`` for one that runs alone."""
        alike = group(request.tensors, request.outputs)
        if alike is None:
            return None
        rows = batching.rows(1)
        together = key if rows == 1 else self._sessions.open(with_rows(self._signature, bucket, rows))
        return BatchGroup(batching, alike, key, together)

    def _limit(self, tensors: Arrays) -> float | None:
        """Return the seconds that a run may take."""
        timeouts = self._pool.timeouts
        nbytes = sum(array.nbytes for array in tensors.values()) if timeouts.large != 1 else 0
        return run_timeout(timeouts, self.family, nbytes)

    def _items(self, tensors: Arrays) -> int:
        for array in tensors.values():
            return array.shape[0] if self._in_rows and array.ndim > 1 else 1
        return 1
