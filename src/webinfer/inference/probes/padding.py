"""What may be padded of a model: only what was tried in the browser and found exact.

It is tried before the first request that wants it, and again on each engine that answers a padded request for the first
time: only what is exact on all of them is padded. The outcome is kept for the combination of model, backend and
versions, so that it is found out once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from webinfer.accuracy.bounded.reference import Canary
from webinfer.accuracy.outcome import recall_evidence, remember_evidence
from webinfer.browsers.lane import Lane
from webinfer.core.placement import LaneId
from webinfer.inference.probes.padding_check import Proof, prove
from webinfer.models.files.package import ModelPackage
from webinfer.pool.plan.buckets import EXACT, KINDS, Fit, Kind, cuts, fit, paddable

log = logging.getLogger("webinfer.padding")

Arrays = Mapping[str, NDArray[Any]]
Lanes = tuple[Lane, ...]
RunThere = Callable[[Arrays, Fit, Lane | None], Awaitable[tuple[Arrays, Lanes]]]
"""Runs inputs that have the sizes of a bucket, on a lane if that holds the session, and returns the outputs and the
lanes that computed them, one for each stage."""
Place = frozenset[tuple[str, str]]
"""What decides on the answers of lanes."""


class Padding:
    """What may be padded of one model, and to what.

    Args:
        package: The model.
        run: Runs inputs.
        find: Returns a lane that the model may run on, if one is up.
        combine: Returns what decides on the answers of lanes: the model, and everything that computes them.
        release: Called with a shape that no request has, once nothing runs in it any more.
        longest: Returns the longest sequence that the model takes, where that is known.
    """

    def __init__(
        self,
        package: ModelPackage,
        run: RunThere,
        find: Callable[[], Lane | None],
        combine: Callable[[Lanes], Mapping[str, str]],
        release: Callable[[Fit], None],
        longest: Callable[[], int | None],
    ) -> None:
        self._package = package
        self._signature = package.signature
        self._run = run
        self._find = find
        self._combine = combine
        self._release = release
        self._names = paddable(package.signature)
        self._longest = longest
        self._proofs: dict[Kind, Proof] = {}
        self._proving: asyncio.Task[None] | None = None
        self._exact: set[tuple[Kind, Place]] = set()  # kinds, and where they were found exact
        self._trying: dict[tuple[Kind, Place], asyncio.Task[str | None]] = {}  # on engines that came later
        self._places: dict[tuple[LaneId, ...], Place] = {}  # of lanes that have answered
        self._warm: set[tuple[tuple[str, int], ...]] = set()  # shapes that were run before any request
        self._texts: tuple[Canary, ...] = ()  # with native onnxruntime's answers to their exact shape

    def __repr__(self) -> str:
        states = (f"{kind}={'exact' if proof.reason is None else 'not'}" for kind, proof in self._proofs.items())
        return f"<Padding {self._package.name} {' '.join(states) or 'unknown'}>"

    def fit(self, tensors: Arrays, *, gains: bool) -> Fit:
        """Choose the bucket of a request.

        Args:
            tensors: Its inputs.
            gains: Whether padding gains anything. Where it does not, only shapes that were warmed up are padded to.

        Returns:
            The bucket. Where it says ``unproven``, nothing is padded yet: ``prove`` that, and choose again.
        """
        wanted = fit(self._signature, tensors, KINDS, self._longest())
        if wanted.exact:
            return wanted
        if not gains and wanted.padded not in self._warm:
            return fit(self._signature, tensors, ())
        kinds = self._needed(wanted)
        if unproven := tuple(kind for kind in kinds if kind not in self._proofs):
            return replace(EXACT, unproven=unproven)
        axes = {kind: proof.axes for kind in kinds if (proof := self._proofs[kind]).reason is None}
        if len(axes) == len(kinds):
            return replace(wanted, cuts=cuts(self._signature, axes))
        notes = tuple(f"{kind} are not padded: {self._proofs[kind].reason}" for kind in kinds if kind not in axes)
        allowed = [kind for kind in KINDS if kind in axes or kind not in kinds]
        bucket = fit(self._signature, tensors, allowed, self._longest())
        return replace(bucket, cuts=cuts(self._signature, axes), notes=notes, is_bucket=False)

    def note_warm(self, bucket: Fit) -> None:
        """Note that the model has run in a shape before any request, so that others gain by being padded to it.

        Args:
            bucket: The shape.
        """
        self._warm.add(bucket.padded)

    def note_texts(self, texts: tuple[Canary, ...]) -> None:
        """Note what native onnxruntime answers to short texts, so that their exact shape need not run in the browser.

        Args:
            texts: The texts, with the answers.
        """
        self._texts = texts

    def refuse(self, bucket: Fit, reason: str) -> None:
        """Pad no more what was padded of a request, because its answer showed that this is not exact.

        Args:
            bucket: The request's.
            reason: What the answer showed.
        """
        for kind in self._needed(bucket):
            log.warning("%s: %s are not padded any more: %s", self._package.name, kind, reason)
            self._proofs[kind] = Proof(reason=reason)

    async def obstacle(self, bucket: Fit, lanes: Lanes) -> str | None:
        """Return why the padding of an answered request is not exact where it was answered; ``None`` where it is.

        An engine that answers for the first time is tried now. Callers that come meanwhile wait for the same.

        Args:
            bucket: The request's.
            lanes: The lanes that answered, one for each stage.

        Raises:
            PoolClosed: The model or its accelerator was closed.
            QueueFull: ``max_queue`` requests wait already.
        """
        place = self._place(lanes)
        for kind in self._needed(bucket):
            if (kind, place) in self._exact:
                continue
            task = self._trying.get((kind, place))
            if task is None:
                task = self._trying[kind, place] = asyncio.create_task(self._try_there(kind, lanes))
                task.add_done_callback(partial(self._end, (kind, place)))
            if reason := await asyncio.shield(task):
                return reason
        return None

    def forget(self) -> None:
        """Have everything found out anew, because runs go another way from now on."""
        for known in (self._proofs, self._exact, self._places):
            known.clear()

    async def prove(self, kinds: Collection[Kind]) -> None:
        """Find out whether kinds of padding are exact; callers that come meanwhile wait for the same.

        Args:
            kinds: The kinds.

        Raises:
            PoolClosed: The model or its accelerator was closed.
            QueueFull: ``max_queue`` requests wait already.
        """
        if self._proving is None or self._proving.done():
            self._proving = asyncio.create_task(self._prove_each(kinds))
            self._proving.add_done_callback(_retrieve)
        await asyncio.shield(self._proving)

    async def _prove_each(self, kinds: Collection[Kind]) -> None:
        for kind in kinds:
            if kind not in self._proofs:
                self._proofs[kind] = await self._recall(kind) or await self._prove(kind)

    async def _recall(self, kind: Kind, lanes: Lanes | None = None) -> Proof | None:
        """Return what is kept of lanes, or of the first one that is up."""
        if lanes is None:
            lane = self._find()
            if lane is None:
                return None
            lanes = (lane,)
        fields = await asyncio.to_thread(recall_evidence, self._combine(lanes), _evidence(kind))
        try:
            proof = None if fields is None else Proof.of(fields)
        except (AttributeError, KeyError, TypeError, ValueError):
            return None  # of another version: it is found out again
        return self._note(kind, proof, lanes) if proof is not None else None

    async def _prove(self, kind: Kind, at: Lanes | None = None) -> Proof:
        answered: list[Lanes] = []
        passing: dict[tuple[tuple[str, int], ...], Fit] = {}

        async def run(tensors: Arrays, bucket: Fit) -> Arrays:
            if bucket.exact and not bucket.is_bucket:
                passing[bucket.padded] = bucket
            outputs, lanes = await self._run(tensors, bucket, at[0] if at is not None and len(at) == 1 else None)
            answered.append(lanes)
            return outputs

        try:
            proof = await prove(self._package, kind, run, self._longest(), self._texts)
        finally:
            for bucket in passing.values():
                self._release(bucket)
        places = {self._place(lanes) for lanes in (*answered, *([at] if at is not None else ()))}
        if len(places) > 1 and proof.reason is None:  # answers of several engines prove nothing of any of them
            proof = Proof(proof.axes, None if at is None else "it could not be tried in this browser", lasting=False)
        log.info("%s: %s", self._package.name, proof.reason or f"{kind} may be padded")
        if proof.lasting and len(places) == 1:
            await asyncio.to_thread(remember_evidence, self._combine(answered[-1]), _evidence(kind), proof.to_dict())
            self._note(kind, proof, answered[-1])
        return proof

    async def _try_there(self, kind: Kind, lanes: Lanes) -> str | None:
        """Return why a kind of padding is not exact on lanes of an engine that came later; ``None`` where it is."""
        proof = await self._recall(kind, lanes) or await self._prove(kind, lanes)
        known = self._proofs.get(kind, proof)
        if proof.reason is None and known.reason is None and proof.axes != known.axes:
            return "outputs become longer along other axes in each browser"
        return proof.reason or known.reason

    def _note(self, kind: Kind, proof: Proof, lanes: Lanes) -> Proof:
        if proof.reason is None:
            self._exact.add((kind, self._place(lanes)))
        return proof

    def _place(self, lanes: Lanes) -> Place:
        ids = tuple(lane.id for lane in lanes)
        place = self._places.get(ids)
        if place is None:
            place = self._places[ids] = frozenset(self._combine(lanes).items())
        return place

    def _end(self, which: tuple[Kind, Place], task: asyncio.Task[str | None]) -> None:
        del self._trying[which]
        if not task.cancelled():
            task.exception()  # whoever waits for it is told

    def _needed(self, bucket: Fit) -> tuple[Kind, ...]:
        """Return the kinds that a bucket pads."""
        sizes, padded = dict(bucket.sizes), dict(bucket.padded)
        return tuple(kind for kind, name in self._names.items() if sizes.get(name) != padded.get(name))


def _evidence(kind: Kind) -> str:
    return f"padding-{kind}"


def _retrieve(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # whoever waits for it is told
