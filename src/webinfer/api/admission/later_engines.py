"""A model on engines that come after it was loaded: each is compared once, and a wrong one is passed over."""

from __future__ import annotations

import logging

from webinfer.accuracy.bounded.runs import NativeRuns
from webinfer.accuracy.comparison import limits_for
from webinfer.api.admission.comparison import compare_with_native, unanswered
from webinfer.api.admission.gate import Freedom, combination, end_capture
from webinfer.core.errors import AccuracyError, PoolClosed, WebinferError
from webinfer.core.options import Options
from webinfer.inference.model import AsyncModel
from webinfer.inference.probes.engine_check import Lanes
from webinfer.pool.pool import Pool

log = logging.getLogger("webinfer.gate")


class LaterEngines:
    """Judges a loaded model on engines other than the one that it was admitted on; see ``EngineJudge``.

    Args:
        pool: The pool.
        model: The model, loaded.
        native: What runs natively.
        options: Options of the accelerator.
        freedom: What the caller left open.
    """

    def __init__(self, pool: Pool, model: AsyncModel, native: NativeRuns, options: Options, freedom: Freedom) -> None:
        self._pool = pool
        self._model = model
        self._native = native
        self._limits = limits_for(model.precision, options.accuracy_limits)
        self._may_move = options.accuracy == "fallback" or (options.accuracy == "auto" and freedom.backend)
        self._forbids = options.accuracy in ("raise", "fallback")

    def __repr__(self) -> str:
        return f"<LaterEngines of {self._model.name}>"

    async def compare(self, lanes: Lanes) -> None:
        """Compare the model on lanes, unless the outcome is known, and note it.

        Args:
            lanes: The lanes, one for each stage.

        Raises:
            PoolClosed: The model or its accelerator was closed meanwhile.
        """
        model, about = self._model, combination(self._model, *lanes)
        try:
            accuracy = await compare_with_native(model, about, self._native, lanes, at=lanes[-1])
        except PoolClosed:
            raise
        except WebinferError as error:  # the lane was lost, or too many requests wait: no word against the engine
            accuracy = unanswered(about, error)
        model.observer.checked(model, lanes[-1].browser_name, accuracy)
        checks, fault = model.results.checks, accuracy.fault(self._limits)
        if fault is not None and model.sessions.capture.open and "capture" in about:
            end_capture(model, fault)  # and the next answer brings about the comparison without it
            return
        checks.note_accuracy(lanes, accuracy, is_lasting=not accuracy.passing)
        if fault is not None:
            engine = " + ".join(f"{engine.engine} {engine.version}" for engine in checks.engines(lanes))
            wrong = f"{model.name} in {model.precision} on {model.backend} in {engine} does not compute what native"
            checks.note_fault(lanes, f"{wrong} onnxruntime does: {fault}")
            log.warning("%s onnxruntime does: %s", wrong, fault)

    def keeps(self, lanes: Lanes, fault: str) -> bool:
        """Return whether a wrong answer is given, with its note; if not, another browser has the model by now.

        Args:
            lanes: The lanes that answered.
            fault: What is wrong there.

        Raises:
            AccuracyError: The option ``accuracy`` forbids wrong answers.
        """
        model = self._model
        if self._may_move and len(lanes) == 1:
            subject = model.package.sha256, model.backend, model.precision
            if self._pool.pass_over(subject, lanes[0]):
                return False
        if self._forbids:
            accuracy = model.results.checks.accuracy(lanes)
            raise AccuracyError(
                f"{fault}. Choose another browser, backend or precision, or set accuracy to warn.", **accuracy.to_dict()
            )
        return True
