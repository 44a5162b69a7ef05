"""How large activations become: a model run natively on samples of what it is for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from webinfer.accuracy.bounded.arrays import read_arrays
from webinfer.accuracy.bounded.process import ask
from webinfer.core.lifetime.worker_process import Job
from webinfer.models.files.package import ModelPackage


def largest(model: ModelProto, package: ModelPackage, names: list[str], job: Job) -> dict[str, NDArray[np.float32]]:
    """Return the largest magnitude that was seen of each channel, the last axis, of activations.

    Args:
        model: The model's outline.
        package: The model.
        names: Names of the activations.
        job: By which another thread can give it up; it has the limits, too.

    Raises:
        InputError: No samples can be made up for the model.
        LoadFailed: The model cannot be loaded natively.
        OutOfMemory: It takes more memory than there is.
        RunFailed: It cannot be run natively, or not in time.
    """
    with tempfile.TemporaryDirectory(prefix="webinfer-") as folder:
        graph = Path(folder) / "graph.onnx"
        onnx.save(model, graph)
        ask(job, "magnitudes", package, Path(folder), {"graph": str(graph), "names": names})
        return read_arrays(Path(folder) / "magnitudes")
