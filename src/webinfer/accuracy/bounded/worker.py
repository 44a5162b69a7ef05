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
from webinfer.accuracy.samples.canaries import CanaryMaker, Form, forms, shaken
from webinfer.accuracy.samples.maker import SampleMaker
from webinfer.accuracy.samples.short_texts import short_texts, takes_texts
from webinfer.core.errors import InputError, LoadFailed, RunFailed, WebinferError
from webinfer.core.lifetime.worker import Notify, serve
from webinfer.models.files.package import ModelPackage
from webinfer.models.graphs.outline import outline

Arrays = dict[str, NDArray[Any]]

_NEAR = 1e-2  # part of itself by which a float may move when its inputs move by a ten-thousandth
_SAMPLES = 8  # of what activations are observed on


_sessions: dict[tuple[str, bool], NativeSession] = {}  # the last one, between the canaries of a model


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


def answer_canary(package: ModelPackage, directory: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Make one canary, run it, and write both.

    The graph runs as it stands, with its weights mapped from the file, so that memory holds activations alone. Where
    onnxruntime needs its own optimizations to run a graph, it has them.

    Args:
        package: The model.
        directory: Where to.
        order: The canary's ``number``.

    Returns:
        The version of onnxruntime, how many canaries there are, and whether short texts may be asked for after them.

    Raises:
        InputError: The model wants something that cannot be made up.
        LoadFailed: onnxruntime refused the model.
        RunFailed: It takes no form of the canary.
    """
    number, canaries, maker = int(order["number"]), forms(package), CanaryMaker(package)
    try:
        session = _held(package, optimize=False)
        inputs, answer = _first(session, maker, canaries[number])
    except (LoadFailed, RunFailed):
        session = _held(package, optimize=True)
        inputs, answer = _first(session, maker, canaries[number])
    write_arrays(directory / f"{number}.steady", _steady(session, inputs, answer, floats=number == len(canaries) - 1))
    write_arrays(directory / f"{number}.inputs", inputs)
    write_arrays(directory / f"{number}.answers", answer)
    has_texts = takes_texts(package)
    if number == len(canaries) - 1 and not has_texts:
        _sessions.clear()
    return {"version": session.version, "count": len(canaries), "texts": has_texts}


def answer_texts(package: ModelPackage, directory: Path, order: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001  # as the others
    """Run short texts in their exact shape, with the session of the canaries, and write them and their answers.

    Args:
        package: The model.
        directory: Where to.
        order: Nothing more.

    Returns:
        Nothing.

    Raises:
        InputError: The model wants something that cannot be made up.
        LoadFailed: onnxruntime refused the model.
        RunFailed: The model does not take them.
    """
    session = _held(package, optimize=(package.sha256, True) in _sessions)
    try:
        for number, text in enumerate(short_texts(package)):
            answer = session.run(text)
            write_arrays(directory / f"text-{number}.inputs", text)
            write_arrays(directory / f"text-{number}.answers", answer)
    finally:
        _sessions.clear()
    return {}


def _held(package: ModelPackage, *, optimize: bool) -> NativeSession:
    """Return a session of a model: the last one, where that is of the same model."""
    key = package.sha256, optimize
    if key not in _sessions:
        _sessions.clear()
        graph = None if optimize else outline(package.model.path, package.model.sha256)
        _sessions[key] = NativeSession(package, graph=graph, optimize=optimize)
    return _sessions[key]


def _first(session: NativeSession, maker: CanaryMaker, canary: tuple[Form, ...]) -> tuple[Arrays, Arrays]:
    """Return the first form of a canary that the model takes, and its answer.

    Raises:
        InputError, RunFailed: It takes none; the error is that of the first one.
    """
    failure: WebinferError | None = None
    for form in canary:
        try:
            inputs = maker.make(form)
            return inputs, session.run(inputs)
        except (InputError, RunFailed) as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _steady(session: NativeSession, inputs: Arrays, answer: Arrays, *, floats: bool) -> Arrays:
    """Return for each output where it stays the same when inputs are moved a little, and so follows from no near tie.

    Args:
        session: The model.
        inputs: Inputs by name.
        answer: Its answer to them.
        floats: Whether floats are looked at, too. Inputs that are all equal may leave nothing of them but rounding.
    """
    kinds = "iubf" if floats else "iub"
    names = [name for name, output in answer.items() if _kind(output) in kinds]
    steady = {name: np.ones(answer[name].shape, bool) for name in names}
    if names and any(array.dtype.kind == "f" for array in inputs.values()):
        for sign in (1, -1):
            moved = session.run(shaken(inputs, sign), names)
            for name in names:
                if moved[name].shape == steady[name].shape:
                    steady[name] &= _is_near(answer[name], moved[name])
    return steady


def _kind(output: Any) -> str:
    """Return the kind of an output's dtype, as NumPy names it; ``-`` for a sequence or a map."""
    return output.dtype.kind if isinstance(output, np.ndarray) else "-"


def _is_near(array: NDArray[Any], moved: NDArray[Any]) -> Any:
    """Return where values are the same; of floats, where they differ by little of themselves."""
    if array.dtype.kind != "f":
        return array == moved
    one, two = array.astype(np.float64), moved.astype(np.float64)
    largest = np.abs(one[np.isfinite(one)]).max(initial=0.0)
    with np.errstate(invalid="ignore"):
        return (np.abs(one - two) <= _NEAR * (np.abs(one) + largest / 10)) | (one == two)


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
    "answer": answer_canary,
    "texts": answer_texts,
    "graph": run_graph,
    "magnitudes": observe_magnitudes,
}


if __name__ == "__main__":
    serve(work)
