"""What a browser reported of itself, and what that proves about hardware."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from webinfer.core.options import BACKENDS, Backend
from webinfer.core.placement import Placement
from webinfer.core.verdict import VerdictKind, judge_adapter, judge_speed, judge_webnn

WEBNN_DEVICE = "cpu"
"""The device that WebNN's contexts are asked for: the only one that every implementation has."""
_MOSTLY = 0.9  # part of the nodes that must be on a GPU for its verdict to stand for the whole
_TEXTS = ("vendor", "architecture", "device", "description", "type", "backend", "driver")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether real hardware acceleration did the work.

    Attributes:
        kind: ``hardware``, ``software``, ``mixed`` or ``unproven``.
        evidence: The observations that it rests on, in words.
    """

    kind: VerdictKind
    evidence: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.kind

    def over(self, placement: Placement | None) -> Verdict:
        """Return the verdict on a graph placed so: ``mixed``, where a good part of it is not on the hardware."""
        if self.kind != "hardware" or placement is None or placement.share >= _MOSTLY:
            return self
        return Verdict("mixed", (f"only {placement}", *self.evidence))


@dataclass(frozen=True, slots=True)
class Adapter:
    """A WebGPU adapter as the browser describes it; fields are empty where it says nothing."""

    vendor: str = ""
    architecture: str = ""
    device: str = ""
    description: str = ""
    type: str = ""
    backend: str = ""
    driver: str = ""
    is_fallback: bool = False

    def __str__(self) -> str:
        words = [self.description or self.device, self.vendor, self.architecture, self.type]
        return " ".join(dict.fromkeys(word for word in words if word)) or (
            "unnamed fallback adapter" if self.is_fallback else "unnamed adapter"
        )


@dataclass(frozen=True, slots=True)
class Speeds:
    """How fast the WebGPU adapter was, and one thread of WebAssembly beside it, in 10^9 a second.

    Attributes:
        gpu: Operations and bytes moved of the adapter.
        cpu: The same of the thread; ``None`` where its WebAssembly has no vectors.
        cores: Logical cores of the machine.
    """

    gpu: tuple[float, float]
    cpu: tuple[float, float] | None
    cores: int

    @classmethod
    def of(cls, answer: Mapping[str, Any], cores: int) -> Speeds:
        """Read a lane's answer.

        Raises:
            KeyError, TypeError, ValueError: It is none.
        """
        gpu, cpu = (
            (float(told["gflops"]), float(told["gbps"])) if told else None for told in (answer["gpu"], answer["cpu"])
        )
        if gpu is None or not all(math.isfinite(figure) and figure > 0 for figure in (*gpu, *(cpu or ()))):
            raise ValueError("speeds must be above 0")
        return cls(gpu, cpu, cores)

    def to_dict(self) -> dict[str, Any]:
        """Return them ready for JSON."""
        named = {
            name: dict(zip(("gflops", "gbps"), told, strict=True)) if told else None
            for name, told in (("gpu", self.gpu), ("cpu", self.cpu))
        }
        return {**named, "cores": self.cores}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one browser can do, as its page found out.

    Attributes:
        engine: ``chromium``, ``firefox`` or ``webkit``.
        engine_version: As far as the browser tells it.
        platform: Operating system, as the browser names it.
        cores: Logical processors that the page may use.
        adapter: The WebGPU adapter, or ``None``.
        webnn: WebNN device types whose context could be created.
        errors: Why a backend is missing, by backend.
        report: The page's whole report: features, limits, WASM threads, SIMD and JSPI.
        gpus: GPUs that the operating system lists; ``None`` where it does not tell, or the browser is elsewhere.
        speeds: How fast the adapter is, once somebody had it timed.
    """

    engine: str
    engine_version: str
    platform: str = ""
    cores: int = 1
    adapter: Adapter | None = None
    webnn: tuple[str, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    gpus: tuple[str, ...] | None = None
    speeds: Speeds | None = None

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Capabilities:
        """Read a page's report; what is missing from it counts as absent."""
        gpu, nn = report.get("webgpu") or {}, report.get("webnn") or {}
        described = gpu.get("adapter") if gpu.get("available") else None
        contexts = nn.get("contexts") or {}
        errors = {}
        if not described:
            errors["webgpu"] = str(gpu.get("error") or "the browser offers no WebGPU adapter")
        usable = tuple(device for device, context in contexts.items() if context.get("ok"))
        if not usable:
            told = [str(context["error"]) for context in contexts.values() if context.get("error")]
            errors["webnn"] = str(nn.get("error") or next(iter(told), "the browser has no navigator.ml"))
        return cls(
            engine=str(report.get("engine", "unknown")),
            engine_version=str(report.get("engine_version", "")),
            platform=str(report.get("platform", "")),
            cores=int(report.get("hardware_concurrency") or 1),
            adapter=_adapter(described) if described else None,
            webnn=usable,
            errors=errors,
            report=report,
        )

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Backends that this browser can run, as far as its report tells."""
        return tuple(backend for backend in BACKENDS if backend not in self.errors)

    def can_run(self, backend: Backend) -> bool:
        """Whether this browser can run a backend, as far as its report tells."""
        return backend not in self.errors

    def verdict(self, backend: Backend) -> Verdict:
        """Judge what kind of hardware ``backend`` runs on in this browser."""
        if backend == "wasm":
            return Verdict("software", ("WebAssembly runs on the CPU",))
        if backend == "webnn":
            return Verdict(*judge_webnn(self.engine, self.platform, WEBNN_DEVICE))
        return self._webgpu_verdict()

    def choose(self) -> Backend:
        """Return the backend that ``platform="auto"`` stands for here.

        A hardware WebGPU adapter comes first, then WebNN, then WebAssembly: an adapter in software is slower
        than either.
        """
        if "webgpu" in self.backends and self.verdict("webgpu").kind == "hardware":
            return "webgpu"
        return "webnn" if "webnn" in self.backends else "wasm"

    def _webgpu_verdict(self) -> Verdict:
        if self.adapter is None:
            return Verdict("unproven", (self.errors["webgpu"],))
        told = {name: getattr(self.adapter, name) for name in _TEXTS}
        kind, evidence = judge_adapter(told, self.adapter.is_fallback, self.gpus)
        if self.speeds is None:
            return Verdict(kind, evidence)
        proven, observed = judge_speed(kind, self.speeds.gpu, self.speeds.cpu, self.speeds.cores)
        if told["type"] == "virtual GPU":  # another machine's cores may stand behind it
            proven = kind
        return Verdict(proven, (*evidence, *observed) if proven == kind else (*observed, *evidence))


def _adapter(described: Mapping[str, Any]) -> Adapter:
    return Adapter(
        **{name: str(described.get(name) or "") for name in _TEXTS}, is_fallback=bool(described.get("is_fallback"))
    )
