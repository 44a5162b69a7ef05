"""Frames as a page or a lane sends them, made from any header, and examples of what they say."""

from __future__ import annotations

from typing import Any

import msgspec

from webinfer.core.capabilities import CapabilityReport
from webinfer.transport.wire.codec import Tensors, encode
from webinfer.transport.wire.messages import PROTOCOL, Message

CAPABILITIES: dict[str, Any] = {
    "user_agent": "Mozilla/5.0",
    "engine": "chromium",
    "engine_version": "153.0",
    "platform": "Linux",
    "hardware_concurrency": 2,
    "device_memory": 8,
    "cross_origin_isolated": True,
    "secure_context": True,
    "wasm": {"simd": True, "threads": True, "jspi": False},
    "webgpu": {"available": False, "error": "none", "adapter": None, "features": [], "limits": {}},
    "webnn": {"available": False, "error": "none", "contexts": {"cpu": {"ok": False, "error": "none"}}},
}
ADAPTER: dict[str, Any] = {
    **dict.fromkeys(("vendor", "architecture", "device", "description", "type", "backend", "driver"), ""),
    "is_fallback": False,
    "subgroup_min_size": None,
    "subgroup_max_size": 32,
}
RUNTIME: dict[str, Any] = {"name": "onnxruntime-web", "version": "1.30.0", "bundle": "jspi", "threads": 2}
PAGE_HELLO: dict[str, Any] = {
    "kind": "hello",
    "protocol": PROTOCOL,
    "role": "page",
    "user_agent": "Mozilla/5.0",
    "engine": "chromium",
    "engine_version": "153.0",
}
LANE_HELLO: dict[str, Any] = {"kind": "hello", "protocol": PROTOCOL, "role": "lane", "lane": "b1.1", "runtime": RUNTIME}
TIMING: dict[str, Any] = {"wait": 0.1, "run": 2.5, "encode": 0.01}
LOADED: dict[str, Any] = {
    "inputs": ["x"],
    "outputs": ["y"],
    "timing": {"fetch": 1, "create": 2.5},
    "nbytes": 3,
    "stored": 0,
    "placement": {"nodes": {"wasm": 1}, "fallen": {}, "copies": 0, "graphs": 0},
}


def frame(header: dict[str, Any], tensors: Tensors | None = None) -> bytes:
    """Make a frame of any header that has a kind."""
    fields = {name: value for name, value in header.items() if name != "kind"}
    struct: Any = msgspec.defstruct("Header", list(fields), bases=(Message,), tag=header["kind"], kw_only=True)
    return encode(struct(**fields), tensors)


def report(adapter: dict[str, Any] | None = None, **changes: Any) -> CapabilityReport:
    """Return a page's report, with some fields changed, and of WebGPU where an adapter is given."""
    webgpu = {**CAPABILITIES["webgpu"], "available": True, "adapter": {**ADAPTER, **adapter}} if adapter else {}
    changed = {**CAPABILITIES, **({"webgpu": webgpu} if webgpu else {}), **changes}
    return msgspec.convert(changed, CapabilityReport)
