"""The same model in native onnxruntime, and how far a browser's answers are from its own."""

from __future__ import annotations

from webinfer.accuracy.bounded.reference import Canary, canaries_of
from webinfer.accuracy.comparison import Deviation, compare, fault, limits_for
from webinfer.accuracy.native import NativeSession, run_native
from webinfer.accuracy.profiler import profile_native
from webinfer.inference.probes.hardware import prove

__all__ = [
    "Canary",
    "Deviation",
    "NativeSession",
    "canaries_of",
    "compare",
    "fault",
    "limits_for",
    "profile_native",
    "prove",
    "run_native",
]
