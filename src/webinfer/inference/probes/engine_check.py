"""What is known of a model's answers by engine, and the comparison of an engine before its first answer is given.

A model is compared when it is loaded, on the lane that loads it. Later requests may run on lanes of other browsers, of
another version or on another adapter. Their kernels are others, so the outcome of one says nothing of another.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple, Protocol

from webinfer.accuracy.outcome import Accuracy
from webinfer.browsers.lane import Lane
from webinfer.core.capabilities import Adapter
from webinfer.core.options import Backend

_ATTEMPTS = 2  # comparisons of an engine that may fail for a reason that passes, before no more are tried

Lanes = tuple[Lane, ...]


class Engine(NamedTuple):
    """What computes answers on a lane: the browser's engine and its version, the runtime, and on a GPU the adapter."""

    engine: str
    version: str
    runtime: str
    adapter: Adapter | None


Engines = tuple[Engine, ...]
"""What computes an answer: an engine for each stage of the model."""


class EngineJudge(Protocol):
    """Compares a model on lanes, and decides what follows where it is wrong there."""

    async def compare(self, lanes: Lanes) -> None:
        """Compare the model on lanes, and note the outcome.

        Args:
            lanes: The lanes, one for each stage.
        """

    def keeps(self, lanes: Lanes, fault: str) -> bool:
        """Return whether a wrong answer is given, with its note; if not, another browser has the model by now.

        Args:
            lanes: The lanes that answered.
            fault: What is wrong there.

        Raises:
            AccuracyError: Nobody may have a wrong answer.
        """


class EngineChecks:
    """The outcomes of a model's comparisons with the reference, each by what computed the answers.

    Args:
        backend: Backend that runs the model.

    Attributes:
        judge: Compares engines that come later; ``None`` where nothing is compared.
    """

    def __init__(self, backend: Backend) -> None:
        self.judge: EngineJudge | None = None
        self._backend = backend
        self._accuracies: dict[Engines, Accuracy] = {}
        self._faults: dict[Engines, str] = {}
        self._tasks: dict[Engines, asyncio.Task[None]] = {}
        self._failures: Counter[Engines] = Counter()
        self._unchecked = Accuracy(combination={}, reason="it was not compared in this browser")
        self._under_way = Accuracy(combination={}, reason="its comparison in this browser is still under way")

    def __repr__(self) -> str:
        return f"<EngineChecks {len(self._accuracies)} known, {len(self._tasks)} under way>"

    def engines(self, lanes: Lanes) -> Engines:
        """Return what computes answers on lanes.

        Args:
            lanes: The lanes, one for each stage.
        """
        return tuple(dict.fromkeys(self._engine(lane) for lane in lanes))

    def accuracy(self, lanes: Lanes) -> Accuracy:
        """Return how answers of lanes compare with the reference.

        Args:
            lanes: The lanes that answered.
        """
        return self._accuracy(self.engines(lanes))

    def describe(self, lanes: Lanes) -> tuple[Accuracy, tuple[str, ...]]:
        """Return how answers of lanes compare with the reference, and what their results have to note of it.

        Args:
            lanes: The lanes that answered.
        """
        engines = self.engines(lanes)
        accuracy = self._accuracy(engines)
        return accuracy, tuple(note for note in (self._faults.get(engines), accuracy.caveat) if note is not None)

    def note_accuracy(self, lanes: Lanes, accuracy: Accuracy, *, is_lasting: bool = True) -> None:
        """Have results of lanes like these say how their answers compare with the reference.

        Args:
            lanes: The lanes on which the model was compared.
            accuracy: The outcome.
            is_lasting: Whether another comparison would come to the same; if not, a later request may bring it about.
        """
        engines = self.engines(lanes)
        self._accuracies[engines] = accuracy
        self._failures[engines] = _ATTEMPTS if is_lasting else self._failures[engines] + 1

    def note_fault(self, lanes: Lanes, fault: str) -> None:
        """Have results of lanes like these note what is wrong with their answers.

        Args:
            lanes: The lanes on which the model was compared.
            fault: What is wrong, in words.
        """
        self._faults[self.engines(lanes)] = fault

    def note_unchecked(self, reason: str) -> None:
        """Have results of lanes on which the model was not compared say why.

        Args:
            reason: Why, in words.
        """
        self._unchecked = Accuracy(combination={}, reason=reason)

    async def admit(self, lanes: Lanes, seconds: float | None) -> bool:
        """Return whether the answer of lanes may be given, once the model was compared on lanes like these.

        Callers that come meanwhile wait for the same comparison. One whose time ends before it gives its answer as
        unchecked.

        Args:
            lanes: The lanes that answered.
            seconds: Time that is left; ``None`` for any.

        Returns:
            Whether it may be given; if not, the request is to run once more, and another browser takes it.

        Raises:
            AccuracyError: It is wrong there, and nobody may have a wrong answer.
        """
        if self.judge is None:
            return True
        engines = self.engines(lanes)
        if self._failures[engines] < _ATTEMPTS:
            task = self._tasks.get(engines)
            if task is None:
                task = self._tasks[engines] = asyncio.create_task(self.judge.compare(lanes))
                task.add_done_callback(lambda task: self._end(engines, task))
            await asyncio.wait([task], timeout=seconds)
        fault = self._faults.get(engines)
        return fault is None or self.judge.keeps(lanes, fault)

    def forget(self) -> None:
        """Have every engine compared anew, because runs go another way from now on."""
        for known in (self._accuracies, self._faults, self._failures):
            known.clear()

    def close(self) -> None:
        """Give up the comparisons under way, and begin none any more."""
        self.judge = None
        for task in self._tasks.values():
            task.cancel()

    def _end(self, engines: Engines, task: asyncio.Task[None]) -> None:
        del self._tasks[engines]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures[engines] += 1
            self._accuracies.setdefault(engines, Accuracy(combination={}, reason=f"it could not be compared: {error}"))

    def _accuracy(self, engines: Engines) -> Accuracy:
        known = self._accuracies.get(engines)
        return known or (self._under_way if engines in self._tasks else self._unchecked)

    def _engine(self, lane: Lane) -> Engine:
        known = lane.capabilities
        adapter = known.adapter if self._backend == "webgpu" else None
        return Engine(known.engine, known.engine_version, lane.runtime, adapter)
