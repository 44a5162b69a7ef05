"""Which precisions a backend can run."""

from __future__ import annotations

from webinfer.core.capabilities import Capabilities
from webinfer.core.options import Backend
from webinfer.models.files.package import ModelPackage

_HALF = ("fp16", "q4f16")
_RESTORED = 1 << 27
"""Weights of 8 bits beyond which WebNN's runtime in Chromium 153 may ask for a buffer of 2 GB, which ends the page."""


def obstacle(package: ModelPackage, backend: Backend, capabilities: Capabilities) -> str | None:
    """Say why a browser cannot run a model's precision on a backend, as far as that is known before it is tried.

    Args:
        package: The model.
        backend: The backend.
        capabilities: What the browser can do.

    Returns:
        The reason; ``None`` where none is known.
    """
    if package.precision in _HALF and backend == "webgpu" and "shader-f16" not in capabilities.features:
        return f"{package.precision} needs shader-f16, which this browser's WebGPU adapter lacks"
    if package.precision == "int8" and backend == "webnn":
        return (
            "WebNN's runtime answers wrongly for matrices of int8 with a scale to each column"  # ONNX Runtime Web 1.30
        )
    if backend == "webnn" and (count := package.quantized.get("weights_by_bits", {}).get("8", 0)) > _RESTORED:
        restored = f"restore {count / 1e6:.0f} million weights of 8 bits"
        return f"WebNN's runtime may ask for more memory at once than a page can have, to {restored}"
    return None
