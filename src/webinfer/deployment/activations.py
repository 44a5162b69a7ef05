"""How large activations become: a model run natively on samples of what it is for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from webinfer.accuracy.native import NativeSession
from webinfer.accuracy.samples import SampleMaker
from webinfer.models.files.package import ModelPackage

_SAMPLES = 8


def largest(model: ModelProto, package: ModelPackage, names: list[str]) -> dict[str, NDArray[np.float32]]:
    """Return the largest magnitude that was seen of each channel, the last axis, of activations.

    Args:
        model: The model's outline.
        package: The model.
        names: Names of the activations.

    Raises:
        InputError: No samples can be made up for the model.
        LoadFailed: The model cannot be loaded natively.
        RunFailed: It cannot be run natively.
    """
    session = NativeSession(package, graph=model, extra_outputs=names, optimize=False)
    maker, magnitudes = SampleMaker(package, "calibration"), dict[str, NDArray[Any]]()
    for seed in range(_SAMPLES):
        for name, array in session.run(maker.make(seed=seed), names).items():
            channels = np.abs(array).reshape(-1, array.shape[-1]).max(0, initial=0)
            magnitudes[name] = np.maximum(magnitudes[name], channels) if name in magnitudes else channels
    return magnitudes
