"""Run machine-learning models in real web browsers, from Python."""

from __future__ import annotations

from importlib.metadata import version

from webinfer.accelerator import AsyncAccelerator
from webinfer.capabilities import Adapter, Capabilities, Verdict
from webinfer.errors import WebinferError
from webinfer.model import AsyncModel
from webinfer.options import Options
from webinfer.pipelines import AsyncPipeline
from webinfer.progress import Progress
from webinfer.request import Times
from webinfer.result import Result
from webinfer.snapshot import Snapshot
from webinfer.sync import Accelerator, Model, Pipeline, pipeline

__all__ = [
    "Accelerator",
    "Adapter",
    "AsyncAccelerator",
    "AsyncModel",
    "AsyncPipeline",
    "Capabilities",
    "Model",
    "Options",
    "Pipeline",
    "Progress",
    "Result",
    "Snapshot",
    "Times",
    "Verdict",
    "WebinferError",
    "__version__",
    "pipeline",
]

__version__ = version("webinfer")
