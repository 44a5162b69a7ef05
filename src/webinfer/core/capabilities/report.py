"""What a browser reported of itself: its backends, its WebGPU adapter, and how fast that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec

from webinfer.core.capabilities.verdict import Adapter, VerdictKind, judge_adapter, judge_speed, judge_webnn
from webinfer.core.options import BACKENDS, Backend
from webinfer.core.placement import Placement

Engine = Literal["chromium", "firefox", "webkit"]
DeviceType = Literal["cpu", "gpu", "npu"]

WEBNN_DEVICE: DeviceType = "cpu"
"""The device that WebNN's contexts are asked for: the only one that every implementation has."""
_MOSTLY = 0.9  # part of the nodes that must be on a GPU for its verdict to stand for the whole


class AdapterReport(msgspec.Struct, frozen=True, kw_only=True):
    """A WebGPU adapter as a page describes it; texts are empty where the browser says nothing."""

    vendor: str
    architecture: str
    device: str
    description: str
    type: str
    backend: str
    driver: str
    is_fallback: bool
    subgroup_min_size: int | None
    subgroup_max_size: int | None


class WebGpuReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a page found out about WebGPU: its adapter, with features and limits, or why there is none."""

    available: bool
    error: str | None
    adapter: AdapterReport | None
    features: tuple[str, ...]
    limits: dict[str, int | float]


class ContextReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a context of WebNN could be created, or why not."""

    ok: bool
    error: str | None


class WebNnReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a page found out about WebNN, with a context for each device type that it tried."""

    available: bool
    error: str | None
    contexts: dict[DeviceType, ContextReport]


class WasmReport(msgspec.Struct, frozen=True, kw_only=True):
    """What WebAssembly has in a page: vectors, threads, and promise integration."""

    simd: bool
    threads: bool
    jspi: bool


class CapabilityReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a page reports of its browser, as it crosses the wire; texts are empty where the browser says nothing.

    Attributes:
        user_agent: ``navigator.userAgent``.
        engine: The engine that the page takes it for.
        engine_version: As far as the browser reports it.
        platform: Operating system, as the browser names it.
        hardware_concurrency: Logical processors that the page may use.
        device_memory: Memory of the device in GB, rounded by the browser.
        cross_origin_isolated: Whether threads may share memory.
        secure_context: Whether the page counts as secure.
        wasm: What WebAssembly has.
        webgpu: What WebGPU has.
        webnn: What WebNN has.
    """

    user_agent: str
    engine: Engine
    engine_version: str
    platform: str
    hardware_concurrency: Annotated[int, msgspec.Meta(ge=1, le=2**16)]
    device_memory: float | None
    cross_origin_isolated: bool
    secure_context: bool
    wasm: WasmReport
    webgpu: WebGpuReport
    webnn: WebNnReport


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
        """Return the verdict on a graph placed so: ``mixed``, where a good part of it is not on the hardware.

        Args:
            placement: Where the graph's nodes went; ``None`` where that is not known.
        """
        if self.kind != "hardware" or placement is None or placement.share >= _MOSTLY:
            return self
        return Verdict("mixed", (f"only {placement}", *self.evidence))


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

    def to_dict(self) -> dict[str, Any]:
        """Return them ready for JSON."""
        named = {
            name: dict(zip(("gflops", "gbps"), speed, strict=True)) if speed else None
            for name, speed in (("gpu", self.gpu), ("cpu", self.cpu))
        }
        return {**named, "cores": self.cores}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one browser can do, as its page found out.

    Attributes:
        engine: ``chromium``, ``firefox`` or ``webkit``.
        engine_version: As far as the browser reports it.
        platform: Operating system, as the browser names it.
        cores: Logical processors that the page may use.
        adapter: The WebGPU adapter, or ``None``.
        webnn: WebNN device types whose context could be created.
        errors: Why a backend is missing, by backend.
        details: The page's whole report; ``None`` where there was none.
        gpus: GPUs that the operating system lists; ``None`` where that is not known, or the browser is elsewhere.
        speeds: How fast the adapter is, once it was timed.
    """

    engine: str
    engine_version: str
    platform: str = ""
    cores: int = 1
    adapter: Adapter | None = None
    webnn: tuple[str, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    details: CapabilityReport | None = None
    gpus: tuple[str, ...] | None = None
    speeds: Speeds | None = None

    @classmethod
    def of(cls, report: CapabilityReport) -> Capabilities:
        """Read a page's report.

        Args:
            report: What the page reported, with every field checked.

        Returns:
            What the browser can do.
        """
        gpu, contexts = report.webgpu, report.webnn.contexts
        adapter = gpu.adapter if gpu.available else None
        usable = tuple(device for device, context in contexts.items() if context.ok)
        errors = {}
        if adapter is None:
            errors["webgpu"] = gpu.error or "the browser offers no WebGPU adapter"
        if not usable:
            reasons = [context.error for context in contexts.values() if context.error]
            errors["webnn"] = report.webnn.error or next(iter(reasons), "the browser has no navigator.ml")
        return cls(
            engine=report.engine,
            engine_version=report.engine_version,
            platform=report.platform,
            cores=report.hardware_concurrency,
            adapter=None if adapter is None else _adapter(adapter),
            webnn=usable,
            errors=errors,
            details=report,
        )

    @property
    def report(self) -> Mapping[str, Any]:
        """The page's whole report ready for JSON: features, limits, WASM threads, SIMD and JSPI."""
        report: dict[str, Any] = {} if self.details is None else msgspec.to_builtins(self.details)
        return report

    @property
    def features(self) -> frozenset[str]:
        """Optional features of the WebGPU adapter, by the names of the specification."""
        return frozenset() if self.details is None else frozenset(self.details.webgpu.features)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Backends that this browser can run, by its report."""
        return tuple(backend for backend in BACKENDS if backend not in self.errors)

    def can_run(self, backend: Backend) -> bool:
        """Return whether this browser can run a backend, by its report.

        Args:
            backend: The backend.
        """
        return backend not in self.errors

    def verdict(self, backend: Backend) -> Verdict:
        """Judge what kind of hardware ``backend`` runs on in this browser.

        Args:
            backend: The backend.

        Returns:
            The verdict, with its evidence.
        """
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
        kind, evidence = judge_adapter(self.adapter, self.gpus)
        if self.speeds is None:
            return Verdict(kind, evidence)
        proven, observed = judge_speed(kind, self.speeds.gpu, self.speeds.cpu, self.speeds.cores)
        if self.adapter.type == "virtual GPU":  # another machine's cores may stand behind it
            proven = kind
        return Verdict(proven, (*evidence, *observed) if proven == kind else (*observed, *evidence))


def _adapter(report: AdapterReport) -> Adapter:
    return Adapter(
        vendor=report.vendor,
        architecture=report.architecture,
        device=report.device,
        description=report.description,
        type=report.type,
        backend=report.backend,
        driver=report.driver,
        is_fallback=report.is_fallback,
    )
