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
    from webinfer.accelerator import AsyncAccelerator
    from webinfer.capabilities import Adapter, Capabilities, Verdict
    from webinfer.errors import WebinferError
    from webinfer.model import AsyncModel
    from webinfer.options import Options
    from webinfer.pipelines import AsyncPipeline
    from webinfer.placement import Placement
    from webinfer.profiles import Profile
    from webinfer.progress import Progress
    from webinfer.request import Times, unrecorded
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
    "Placement",
    "Profile",
    "Progress",
    "Result",
    "Snapshot",
    "Times",
    "Verdict",
    "WebinferError",
    "__version__",
    "pipeline",
    "unrecorded",
]

# Where each name lives. A module is imported when a name of its is first asked for, as all of them take their time.
_HOMES = {
    "Accelerator": "webinfer.sync",
    "Adapter": "webinfer.capabilities",
    "AsyncAccelerator": "webinfer.accelerator",
    "AsyncModel": "webinfer.model",
    "AsyncPipeline": "webinfer.pipelines",
    "Capabilities": "webinfer.capabilities",
    "Model": "webinfer.sync",
    "Options": "webinfer.options",
    "Pipeline": "webinfer.sync",
    "Placement": "webinfer.placement",
    "Profile": "webinfer.profiles",
    "Progress": "webinfer.progress",
    "Result": "webinfer.result",
    "Snapshot": "webinfer.snapshot",
    "Times": "webinfer.request",
    "Verdict": "webinfer.capabilities",
    "WebinferError": "webinfer.errors",
    "pipeline": "webinfer.sync",
    "unrecorded": "webinfer.request",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("webinfer")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
