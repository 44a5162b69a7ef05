"""What a browser reported of itself, and what that proves about hardware."""

from webinfer.core.capabilities.report import (
    WEBNN_DEVICE,
    AdapterReport,
    Capabilities,
    CapabilityReport,
    ContextReport,
    DeviceType,
    Engine,
    Speeds,
    Verdict,
    WasmReport,
    WebGpuReport,
    WebNnReport,
)
from webinfer.core.capabilities.verdict import Adapter, VerdictKind, judge_adapter, judge_speed, judge_webnn

__all__ = [
    "WEBNN_DEVICE",
    "Adapter",
    "AdapterReport",
    "Capabilities",
    "CapabilityReport",
    "ContextReport",
    "DeviceType",
    "Engine",
    "Speeds",
    "Verdict",
    "VerdictKind",
    "WasmReport",
    "WebGpuReport",
    "WebNnReport",
    "judge_adapter",
    "judge_speed",
    "judge_webnn",
]
