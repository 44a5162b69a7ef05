"""What a run gives back: the outputs, and what was observed on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

from webinfer.accuracy.outcome import Accuracy
from webinfer.core.capabilities import Verdict
from webinfer.core.options import Backend, ChosenBy, Platform
from webinfer.core.placement import Placement
from webinfer.inference.route import Decision
from webinfer.models.files.package import ModelPackage
from webinfer.pool.requests.request import Request, Times

Array = NDArray[Any]


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for every request, and freezing triples its cost
class Result:
    """The answer to one request: its outputs, and what was observed on the way.

    ``result["name"]`` is ``result.outputs["name"]``.

    Attributes:
        outputs: Arrays by output name, with the model's own dtypes and the shapes of this request. They are the
            caller's, and may be changed.
        model: The model's name.
        model_sha256: SHA-256 of its files, in hexadecimal.
        model_cid: CID of its files, by which others can fetch them from IPFS; see ``ModelPackage``.
        weights: ``real``, or ``random`` for a model of ``random:NAME``.
        family: What kind of model it is: ``text_embedding``, ``vision``, ``audio``, ``text_generation``, ``multimodal``
            or ``unknown``.
        asked: Platform that was asked for: ``auto``, or a backend.
        backend: Backend that ran it: ``webgpu``, ``webnn`` or ``wasm``.
        reason: Why that backend or precision, where it is not the one asked for; else ``None``.
        precision: Precision of the weights, such as ``fp32``, ``fp16`` or ``q4``.
        quantized: How the weights were brought to that precision and what it lost, where webinfer did it; else empty.
            See ``ModelPackage``.
        rewritten: How many parts of the graph were replaced by one operator each for that backend, by operator.
        notes: What is wrong with answers of this backend, and optimizations that were left out, in plain words.
        captured: Whether the GPU recorded this run, or replayed it from an earlier one; see the option
            ``graph_capture``.
        warmed: Whether ``warm_up`` had run this shape on that lane before.
        audio_shader: Workgroup of the shader that made the features of a recording, such as ``64x1x1``; ``None`` where
            no shader made them.
        browser: Name of the browser, such as ``chrome``. A model in stages names several, joined by `` + ``.
        routing: Why that browser, in words; ``None`` where there is only one.
        chosen_by: Who chose browser and backend: the ``caller``, the ``table`` of preferences, or the tuner
            (``tuned``).
        decision: The same with what else there was: what each place takes, how often that was measured, and why it was
            not taken.
        engine: ``chromium``, ``firefox`` or ``webkit``.
        engine_version: The engine's version, as far as the browser tells it.
        runtime: Name, version and bundle of ONNX Runtime Web.
        lane: The lane that ran it, such as ``b1.1``: the first lane of the first browser. A model in stages names
            several, joined by `` + ``.
        verdict: Whether that was hardware, in ``kind``, and the evidence for it.
        placement: How many nodes went to which backend; ``None`` where the runtime did not tell.
        accuracy: How this browser's answers compare with native onnxruntime's. Its ``status`` is ``checked``, or
            ``unchecked: `` and why. What is wrong is among ``notes``.
        shape: Size that each symbolic dimension was padded to, by its name; empty where nothing was padded. Outputs
            are cut back to the request's own sizes.
        times: Where the time went, in seconds; see ``Times``.
        items: Rows of the request's own inputs: 1, or the size of its batch axis.
        batch: Requests that shared the run, this one included; see ``set_max_batch_size``.
        attempts: Times that the request was sent to a lane: more than 1 where a lane or browser was lost on the way.
        kept: A handle for each output that stayed in the browser, by its name; see the argument ``keep`` of ``run``.
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
    accuracy: Accuracy
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
    kept: Mapping[str, Any] = field(default_factory=dict)

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
            "loss": _loss(self.quantized),
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
            "accuracy": self.accuracy.to_dict(),
            "shape": self.shape,
            "times": {name: getattr(self.times, name) for name in ("queue", "wait", "run", "transfer", "total")},
            "batch": self.batch,
            "attempts": self.attempts,
        }


def _loss(quantized: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what quantizing lost, in short; ``None`` where nothing was quantized here."""
    lost = quantized.get("loss")
    return {name: lost[name] for name in ("cosine", "max_error", "relative_error")} if lost else None


class ModelDescription(Protocol):
    """A model, as far as what is reported of a request describes it."""

    @property
    def package(self) -> ModelPackage:
        """Its files and names."""

    @property
    def backend(self) -> str:
        """Backend that runs it."""

    @property
    def precision(self) -> str:
        """Precision of its weights."""


class RunObserver(Protocol):
    """Is told what models do. Telemetry implements it, and ``api`` hands it to the models."""

    def hit(self, is_loaded: bool) -> None:
        """Take note of a look-up of a session: whether it was loaded.

        Args:
            is_loaded: Whether a lane held it already.
        """

    def checked(self, model: ModelDescription, browser: str, accuracy: Accuracy) -> None:
        """Take note of how a model's answers in a browser compare with the reference.

        Args:
            model: The model.
            browser: The browser's name.
            accuracy: The outcome.
        """

    async def take(self, model: ModelDescription, request: Request, work: Awaitable[Result]) -> Result:
        """Await a result and take note of it, or that it failed.

        Args:
            model: The model.
            request: The request.
            work: What gives its result.
        """

    def failed(
        self, error: BaseException, model: ModelDescription, request: Request | None = None, seconds: float = 0.0
    ) -> None:
        """Take note of a request that failed, or whose caller gave it up; ``None`` for one that was never made.

        Args:
            error: Why.
            model: The model.
            request: The request, as far as it was made.
            seconds: How long it took until then.
        """
