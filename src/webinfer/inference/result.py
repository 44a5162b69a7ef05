"""What a run gives back: the outputs, and what was observed on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.accuracy.record import Accuracy
from webinfer.core.capabilities import Verdict
from webinfer.core.errors import NotANumber
from webinfer.core.options import Backend, ChosenBy, Platform
from webinfer.core.placement import Placement
from webinfer.inference.route import Decision
from webinfer.pool.requests.request import Times

Array = NDArray[Any]


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for every request, and freezing triples its cost
class Result:
    """The answer to one request.

    Attributes:
        outputs: Arrays by output name, with the model's own dtypes and shapes.
        model: The model's name.
        model_sha256: Hash of its files.
        model_cid: CID of its files, by which others can fetch them; see ``ModelPackage``.
        weights: ``real`` or ``random``.
        family: ``text_embedding``, ``vision``, ``audio``, ``text_generation``, ``multimodal`` or ``unknown``.
        asked: Platform that was asked for.
        backend: Backend that ran it.
        reason: Why that backend or precision, where it is not the one asked for.
        precision: Precision of the weights.
        quantized: How they were brought to it, and what that lost, where it was done here: see ``ModelPackage``.
        rewritten: Subgraphs that were replaced by one operator each for that backend, by that operator.
        notes: Which optimizations were left out, and why, in plain words.
        captured: Whether the GPU recorded its run, or replayed it from an earlier one.
        warmed: Whether that lane had run this shape when the model was warmed up.
        audio_shader: Workgroup of the shader that made its features of a recording; ``None`` where none did.
        browser: Name of the browser.
        routing: Why that browser, where there are several.
        chosen_by: Who chose browser and backend: the ``caller``, the ``table`` of preferences, or the tuner
            (``tuned``).
        decision: The same with what else there was: what each place takes, how often that was measured, and why it was
            not taken.
        engine: ``chromium``, ``firefox`` or ``webkit``.
        engine_version: The engine's version, as far as the browser tells it.
        runtime: ONNX Runtime Web's version and bundle.
        lane: The lane that ran it.
        verdict: Whether that was hardware, with the evidence.
        placement: Which backend each node went to; ``None`` where the runtime did not tell.
        accuracy: How this browser's answers compare with native onnxruntime's; ``None`` where that was not looked at.
        shape: Sizes that the symbolic dimensions were padded to, where they were padded.
        times: Where the time went.
        items: Rows of the request's own inputs.
        batch: Requests that ran together, this one included.
        attempts: 1, or more where a lane or browser was lost on the way.
    """

    outputs: dict[str, Array]
    model: str
    model_sha256: str
    model_cid: str
    weights: str
    family: str
    asked: Platform
    backend: Backend
    reason: str | None
    precision: str
    quantized: Mapping[str, Any]
    rewritten: Mapping[str, int]
    warmed: bool
    browser: str
    routing: str | None
    engine: str
    engine_version: str
    runtime: str
    lane: str
    verdict: Verdict
    placement: Placement | None
    accuracy: Accuracy | None
    shape: dict[str, int]
    times: Times
    items: int
    batch: int
    attempts: int
    chosen_by: ChosenBy = "caller"
    decision: Decision | None = None
    audio_shader: str | None = None
    notes: tuple[str, ...] = ()
    captured: bool = False

    def __getitem__(self, name: str) -> Array:
        return self.outputs[name]

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}{list(array.shape)}" for name, array in self.outputs.items())
        milliseconds = self.times.total * 1e3
        return f"<Result {self.model} {shapes} {self.backend} on {self.lane} {milliseconds:.1f} ms {self.verdict.kind}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the result with the guide's keys, and ours beside them.

        ``memory_usage_mb`` is ``None``: a single run's memory is not measured. ``precompile_shaders``
        is true where the lane had compiled them for this shape before: see ``warmed``. ``compute_shader_optimized`` is
        true where a shader of ours made the features of a recording: see ``audio_shader``. ``parallel_loading`` is
        false: nothing of the kind was done.
        """
        run = self.times.run
        return {
            "success": True,
            "status": "success",
            "model_id": self.model,
            "platform": self.asked,
            "backend": self.backend,
            "browser": self.browser,
            "is_real_implementation": True,
            "is_simulation": False,
            "output": {name: array.tolist() for name, array in self.outputs.items()},
            "performance_metrics": {
                "inference_time_ms": run * 1e3,
                "throughput_items_per_sec": self.items / self.times.total,
                "memory_usage_mb": None,
            },
            "inference_time": run,
            "total_time": self.times.total,
            "model_family": self.family,
            "compute_shader_optimized": self.audio_shader is not None,
            "precompile_shaders": self.warmed and self.backend == "webgpu",
            "parallel_loading": False,
            **self.observed(),
        }

    def observed(self) -> dict[str, Any]:
        """Return everything but the outputs, ready for JSON."""
        return {
            "model": self.model,
            "model_sha256": self.model_sha256,
            "model_cid": self.model_cid,
            "weights": self.weights,
            "asked": self.asked,
            "backend": self.backend,
            "reason": self.reason,
            "precision": self.precision,
            "loss": _told(self.quantized),
            "rewritten": dict(self.rewritten),
            "notes": list(self.notes),
            "captured": self.captured,
            "warmed": self.warmed,
            "audio_shader": self.audio_shader,
            "routing": self.routing,
            "chosen_by": self.chosen_by,
            "decision": self.decision.to_dict() if self.decision else None,
            "engine": self.engine,
            "engine_version": self.engine_version,
            "runtime": self.runtime,
            "lane": self.lane,
            "verdict": self.verdict.kind,
            "evidence": list(self.verdict.evidence),
            "placement": self.placement.to_dict() if self.placement else None,
            "accuracy": self.accuracy.to_dict() if self.accuracy else None,
            "shape": self.shape,
            "times": {name: getattr(self.times, name) for name in ("queue", "wait", "run", "transfer", "total")},
            "batch": self.batch,
            "attempts": self.attempts,
        }


def _told(quantized: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what quantizing lost, in short; ``None`` where nothing was quantized here."""
    lost = quantized.get("loss")
    return {name: lost[name] for name in ("cosine", "max_error", "relative_error")} if lost else None


def refuse_nan(outputs: Mapping[str, NDArray[Any]], model: str) -> None:
    """Refuse outputs that hold NaN.

    Raises:
        NotANumber: One does; the error counts them.
    """
    for name, array in outputs.items():
        if array.dtype.kind != "f" or not array.size:
            continue
        largest = np.maximum.reduce(array, axis=None)  # NaN if there is one anywhere, found in one pass without a copy
        if largest != largest:
            count = int(np.isnan(array).sum())
            raise NotANumber(
                f"Output {name!r} of {model} holds {count:,} NaN of {array.size:,} values: "
                "check the inputs for NaN, infinities and fully masked rows, or set allow_nan.",
                output=name,
                count=count,
            )
