"""The same model in native onnxruntime, and how far a browser's answers are from its own."""

from __future__ import annotations

from webinfer.accuracy.comparison import Deviation, compare, limits_for
from webinfer.accuracy.native import NativeSession, run_native
from webinfer.accuracy.profiler import profile_native
from webinfer.accuracy.record import canaries
from webinfer.inference.probes.hardware import prove
from webinfer.models.preprocessing.vocabulary import Vocabulary

__all__ = [
    "Deviation",
    "NativeSession",
    "Vocabulary",
    "canaries",
    "compare",
    "limits_for",
    "profile_native",
    "prove",
    "run_native",
]
