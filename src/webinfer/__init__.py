"""Run machine-learning models in real web browsers, from Python.

::

    from webinfer import Accelerator, pipeline

    with Accelerator(browser="chrome", platform="webgpu") as accelerator:
        model = accelerator.load("model.onnx")  # or a name of the hub, ipfs://CID, wheel:NAME, random:NAME
        result = model.run({"input_ids": [[101, 102]]})  # arrays by name, text, images or recordings
        print(result.outputs, result.backend, result.verdict, result.times)

    with pipeline("text-generation", "wheel:SmolLM2-135M-Instruct") as generate:  # a task, as Transformers names it
        print(generate("Gravity is"))

``AsyncAccelerator`` has the same names, to be awaited. ``Options`` lists what an accelerator may be told, and
``webinfer.errors`` every error; all of them are ``WebinferError``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from webinfer.api.accelerator import AsyncAccelerator
    from webinfer.api.sync.accelerator import Accelerator, pipeline
    from webinfer.api.sync.model import Model
    from webinfer.api.sync.pipeline import Pipeline
    from webinfer.api.sync.tensor_handle import TensorHandle
    from webinfer.core.capabilities import Capabilities, Verdict
    from webinfer.core.capabilities.verdict import Adapter
    from webinfer.core.errors import WebinferError
    from webinfer.core.options import Options
    from webinfer.core.placement import Placement, Profile
    from webinfer.core.progress import Progress
    from webinfer.inference.model import AsyncModel
    from webinfer.inference.residents.tensor_handle import AsyncTensorHandle
    from webinfer.inference.result import Result
    from webinfer.inference.route import Alternative, Decision
    from webinfer.pipelines import AsyncPipeline
    from webinfer.pool.events import SessionLoaded
    from webinfer.pool.requests.request import Times, unrecorded
    from webinfer.telemetry.readers.snapshot import Snapshot
    from webinfer.tuning.candidate import Candidate
    from webinfer.tuning.tuner import TuningProgress
    from webinfer.tuning.tuning import Standing, Tuning

__all__ = [
    "Accelerator",
    "Adapter",
    "Alternative",
    "AsyncAccelerator",
    "AsyncModel",
    "AsyncPipeline",
    "AsyncTensorHandle",
    "Candidate",
    "Capabilities",
    "Decision",
    "Model",
    "Options",
    "Pipeline",
    "Placement",
    "Profile",
    "Progress",
    "Result",
    "SessionLoaded",
    "Snapshot",
    "Standing",
    "TensorHandle",
    "Times",
    "Tuning",
    "TuningProgress",
    "Verdict",
    "WebinferError",
    "__version__",
    "pipeline",
    "unrecorded",
]

# Where each name lives. A module is imported when a name of its is first asked for, as all of them take their time.
_HOMES = {
    "Accelerator": "webinfer.api.sync.accelerator",
    "Adapter": "webinfer.core.capabilities.verdict",
    "Alternative": "webinfer.inference.route",
    "AsyncAccelerator": "webinfer.api.accelerator",
    "AsyncModel": "webinfer.inference.model",
    "AsyncPipeline": "webinfer.pipelines",
    "AsyncTensorHandle": "webinfer.inference.residents.tensor_handle",
    "Candidate": "webinfer.tuning.candidate",
    "Capabilities": "webinfer.core.capabilities",
    "Model": "webinfer.api.sync.model",
    "Decision": "webinfer.inference.route",
    "Options": "webinfer.core.options",
    "Pipeline": "webinfer.api.sync.pipeline",
    "Placement": "webinfer.core.placement",
    "Profile": "webinfer.core.placement",
    "Progress": "webinfer.core.progress",
    "Result": "webinfer.inference.result",
    "SessionLoaded": "webinfer.pool.events",
    "Snapshot": "webinfer.telemetry.readers.snapshot",
    "Standing": "webinfer.tuning.tuning",
    "TensorHandle": "webinfer.api.sync.tensor_handle",
    "Times": "webinfer.pool.requests.request",
    "Tuning": "webinfer.tuning.tuning",
    "TuningProgress": "webinfer.tuning.tuner",
    "Verdict": "webinfer.core.capabilities",
    "WebinferError": "webinfer.core.errors",
    "pipeline": "webinfer.api.sync.accelerator",
    "unrecorded": "webinfer.pool.requests.request",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from webinfer.core import package_version

        value: Any = package_version()
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
