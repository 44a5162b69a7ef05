"""The process that runs models natively: ``python -m webinfer.accuracy.bounded.worker``; see ``core.lifetime.worker``.

A model may run for ever there, ask for all memory or end the process; whoever asked goes on.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from webinfer.accuracy.bounded.arrays import read_arrays, write_arrays
from webinfer.accuracy.native import NativeSession
from webinfer.accuracy.samples import SampleMaker, answered_canaries
from webinfer.core.errors import LoadFailed, RunFailed
from webinfer.core.lifetime.worker import Notify, serve
from webinfer.models.files.package import ModelPackage
from webinfer.models.graphs.outline import outline

_SAMPLES = 8  # of what activations are observed on


def work(order: dict[str, Any], notify: Notify) -> dict[str, Any]:  # noqa: ARG001  # no job here takes long
    """Do one job.

    Args:
        order: Which one, the model, and where files lie.
        notify: Not called.

    Returns:
        The report.

    Raises:
        WebinferError: As the job does.
    """
    package: ModelPackage = pickle.loads(base64.b64decode(order["package"]))  # by the process that asks
    return _JOBS[order["job"]](package, Path(order["directory"]), order)


def answer_canaries(package: ModelPackage, directory: Path, order: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Make canaries, run them, and write both.

    The graph runs as it stands, with its weights mapped from the file, so that memory holds activations alone. Where
    onnxruntime needs its own optimizations to run a graph, it has them.

    Args:
        package: The model.
        directory: Where to.
        order: Nothing more.

    Returns:
        The version of onnxruntime, and how many canaries there are.

    Raises:
        InputError: The model wants something that cannot be made up.
        LoadFailed: onnxruntime refused the model.
        RunFailed: It takes none of the canaries.
    """
    try:
        graph = outline(package.model.path, package.model.sha256)
        session = NativeSession(package, graph=graph, optimize=False)
        inputs, outputs = answered_canaries(session, package)
    except (LoadFailed, RunFailed):
        session = NativeSession(package)
        inputs, outputs = answered_canaries(session, package)
    for index, (arrays, answers) in enumerate(zip(inputs, outputs, strict=True)):
        write_arrays(directory / f"{index}.inputs", arrays)
        write_arrays(directory / f"{index}.answers", answers)
    return {"version": session.version, "count": len(inputs)}


def run_graph(package: ModelPackage, directory: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Run canaries through another graph, as it stands, and write the answers.

    Args:
        package: The model, whose files hold the weights.
        directory: Where to.
        order: The ``graph``'s path, and the directory of ``canaries``.

    Returns:
        Nothing.

    Raises:
        LoadFailed: onnxruntime refused the graph.
        RunFailed: onnxruntime failed.
    """
    session = NativeSession(package, graph=_graph(order), optimize=False)
    for path in sorted(Path(order["canaries"]).glob("*.inputs")):
        write_arrays(directory / f"{path.stem}.answers", session.run(read_arrays(path)))
    return {}


def observe_magnitudes(package: ModelPackage, directory: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Write the largest magnitude of each channel, the last axis, of activations, on samples of the model's use.

    Args:
        package: The model.
        directory: Where to.
        order: The ``graph``'s path, and the ``names`` of the activations.

    Returns:
        Nothing.

    Raises:
        InputError: No samples can be made up for the model.
        LoadFailed: onnxruntime refused the graph.
        RunFailed: onnxruntime failed.
    """
    names: list[str] = order["names"]
    session = NativeSession(package, graph=_graph(order), extra_outputs=names, optimize=False)
    maker, magnitudes = SampleMaker(package, "calibration"), dict[str, NDArray[Any]]()
    for seed in range(_SAMPLES):
        for name, channels in _largest(session.run(maker.make(seed=seed), names)):
            magnitudes[name] = np.maximum(magnitudes[name], channels) if name in magnitudes else channels
    write_arrays(directory / "magnitudes", magnitudes)
    return {}


def _largest(arrays: dict[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, array in arrays.items():
        yield name, np.abs(array).reshape(-1, array.shape[-1]).max(0, initial=0)


def _graph(order: dict[str, Any]) -> onnx.ModelProto:
    return onnx.load(order["graph"], load_external_data=False)


_JOBS: dict[str, Callable[[ModelPackage, Path, dict[str, Any]], dict[str, Any]]] = {
    "answer": answer_canaries,
    "graph": run_graph,
    "magnitudes": observe_magnitudes,
}


if __name__ == "__main__":
    serve(work)
