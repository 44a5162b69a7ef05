"""Models: from a reference to verified, described files, and what turns inputs into tensors for them."""

from __future__ import annotations

import os

# From 1.32 on, onnxruntime on Linux reports each session to its makers, and notes it in ~/.cache; ours is no consent.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
