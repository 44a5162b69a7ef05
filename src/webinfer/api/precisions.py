"""Which precisions a backend can run, and what is taken in place of one that it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import OptionError
from webinfer.core.options import Backend
from webinfer.core.progress import ProgressCallback
from webinfer.inference.route import Choice
from webinfer.models.files.package import ModelPackage
from webinfer.models.files.variants import check
from webinfer.quantization import Job, following, obtain

_HALF = ("fp16", "q4f16")
_RESTORED = 1 << 27
"""Weights of 8 bits beyond which WebNN's runtime in Chromium 153 may ask for a buffer of 2 GB, which ends the page."""


async def obtained(
    reference: str | Path, precision: str | None, part: str | None, progress: ProgressCallback | None
) -> ModelPackage:
    """Find or make a model in a precision, in a thread; what is being made is given up with whoever waits for it."""
    job = Job()
    try:
        return await asyncio.to_thread(obtain, reference, precision=precision, part=part, progress=progress, job=job)
    except asyncio.CancelledError:
        job.cancel()
        raise


def allowed(precision: str | Sequence[str] | None) -> tuple[str | None, tuple[str, ...]]:
    """Return the precision to begin with, and the others that the caller allows.

    Raises:
        OptionError: The list is empty, or names one twice or one that there is not.
    """
    if precision is None or isinstance(precision, str):
        return precision, ()
    if not precision or len(set(precision)) < len(precision):
        raise OptionError(f"precision must name one or several different ones, not {precision!r}.", option="precision")
    for name in precision:
        check(name)
    return precision[0], tuple(precision[1:])


def obstacle(package: ModelPackage, backend: Backend, capabilities: Capabilities) -> str | None:
    """Say why a browser cannot run a model's precision on a backend, as far as that is known before it is tried."""
    features = (capabilities.report.get("webgpu") or {}).get("features") or ()
    if package.precision in _HALF and backend == "webgpu" and "shader-f16" not in features:
        return f"{package.precision} needs shader-f16, which this browser's WebGPU adapter lacks"
    if package.precision == "int8" and backend == "webnn":
        return (
            "WebNN's runtime answers wrongly for matrices of int8 with a scale to each column"  # ONNX Runtime Web 1.30
        )
    if backend == "webnn" and (count := package.quantized.get("weights_by_bits", {}).get("8", 0)) > _RESTORED:
        restored = f"restore {count / 1e6:.0f} million weights of 8 bits"
        return f"WebNN's runtime may ask for more memory at once than a page can have, to {restored}"
    return None


def instead(package: ModelPackage, asked: str | None, fallback: bool) -> str | None:
    """Return the precision to try where one cannot be run; ``None`` to give up.

    Args:
        package: The model in the precision that cannot be run.
        asked: Precision that was asked for.
        fallback: Whether another one may be taken.
    """
    return following(package.precision) if fallback and asked is not None else None


def told(choice: Choice, lost: str | None) -> Choice:
    """Have a choice say why it is another precision than was asked for."""
    if lost is None:
        return choice
    return replace(choice, reason=f"{choice.reason}; {lost}" if choice.reason else lost)
