"""A model as it goes to a lane: a small graph made for the backend, and the files that hold its weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto

from webinfer.accuracy.bounded.process import native_job
from webinfer.core.cache import cache_dir, claim, hash_file
from webinfer.core.errors import WebinferError
from webinfer.core.lifetime.worker_process import Job
from webinfer.core.options import Backend
from webinfer.deployment.activations import largest
from webinfer.deployment.equivalence import compare_graphs
from webinfer.models.files.package import ModelFile, ModelPackage
from webinfer.models.graphs.adaptation import adapt
from webinfer.models.graphs.external_data import move_weights, read_weight
from webinfer.models.graphs.fusion import fuse, import_contrib
from webinfer.models.graphs.fusion.int8_matmul import OPERATOR, to_integers
from webinfer.models.graphs.outline import outline

log = logging.getLogger("webinfer.models")

_VERSION = "7"  # raised when what is made of a model changes
_GRAPH, _ABOUT, _WEIGHTS = "model.onnx", "about.json", "weights.bin"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a lane is given of a model.

    Attributes:
        model: The graph.
        external: The files that hold its weights, by the names that the graph knows them by.
        rewritten: Subgraphs that were replaced, by the operator that replaced them.
        notes: Optimizations that were left out, and why.
    """

    model: ModelFile
    external: tuple[ModelFile, ...]
    rewritten: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def rounded(self) -> bool:
        """Whether weights were rounded to 8 bits on the way."""
        return OPERATOR in self.rewritten


def deliver(
    package: ModelPackage, backend: Backend, *, optimize: bool = True, integers: bool = False, job: Job | None = None
) -> Delivery:
    """Prepare a model for a backend, or take what the cache holds of it.

    The graph goes without its weights, which are fetched from the model's own file: see ``outline``. A rewritten graph
    is compared with the original first, which goes in its place where they differ: see ``rewrite``. Where the cache
    cannot be written, the model goes as it is.

    Args:
        package: The model.
        backend: Backend that is to run it.
        optimize: Replace subgraphs by operators that the backend has a faster kernel for: see ``rewrite``.
        integers: Compute products with constant weights in 8-bit integers, where the backend is faster at them:
            WebAssembly is. See ``to_integers``.
        job: By which another thread can give up what runs natively, and the limits of that.

    Returns:
        What lanes are given.

    Raises:
        InvalidModel: The file is not ONNX, or is cut off.
        RunFailed: The work was given up.
    """
    integers = integers and backend == "wasm"
    kind = (backend if optimize else "plain") + ("-integers" if integers else "")
    place = cache_dir() / "delivered" / f"{package.model.sha256}-{kind}-{_VERSION}"
    try:
        with claim(place) as work:
            if work is not None:
                _make(package, work, backend if optimize else None, integers, job or native_job(package))
        return _read(place, package)
    except OSError as error:
        log.warning("%s goes to the browser as it is: the cache cannot be used (%s)", package.name, error)
        return Delivery(package.model, package.external)


def adapted(model: ModelProto, package: ModelPackage, job: Job | None = None) -> tuple[ModelProto, list[str]]:
    """Return a model as the browser's runtime can take it; see ``adapt``.

    Operators get an older form only where that answers the same, natively.

    Args:
        model: Its outline, which may be changed.
        package: The model.
        job: As ``deliver`` takes it.

    Returns:
        The model to deliver, and notes for results.
    """
    outputs = [spec.name for spec in package.signature.outputs]
    copy = ModelProto()
    copy.CopyFrom(model)
    adaptation = adapt(copy, outputs)
    if not adaptation.is_doubtful or compare_graphs(model, copy, package, job).fault is None:
        return copy, list(adaptation.notes)
    return model, list(adapt(model, outputs, doubtful=False).notes)


def rewrite(
    model: ModelProto, package: ModelPackage, backend: Backend, job: Job | None = None
) -> tuple[ModelProto, dict[str, int], list[str]]:
    """Return a model rewritten for a backend, or as it is where that would change its answers.

    Args:
        model: Its outline, which stays as it is.
        package: The model.
        backend: Backend that is to run it.
        job: As ``deliver`` takes it.

    Returns:
        The model to deliver, how many subgraphs each operator replaced, and notes for results.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    rewritten = fuse(copy, backend)
    if not rewritten:
        return model, {}, []
    equality = compare_graphs(model, copy, package, job)
    names = ", ".join(rewritten)
    if equality.fault is None:
        log.info(
            "%s answers the same with %s: %.2g apart, %.2g allowed, compared in %.1f s",
            package.name,
            names,
            equality.error,
            equality.tolerance,
            equality.seconds,
        )
        return copy, rewritten, []
    log.warning("%s goes to the browser without %s: %s", package.name, names, equality.fault)
    return model, {}, [f"not rewritten to {names}: held against the original here, {equality.fault}"]


def _make(package: ModelPackage, work: Path, backend: Backend | None, integers: bool, job: Job) -> None:
    source = package.model
    model = outline(source.path, source.sha256)
    weights = any(entry.value == source.sha256 for tensor in model.graph.initializer for entry in tensor.external_data)
    rewritten: dict[str, int] = {}
    model, notes = adapted(model, package, job)
    changed = bool(notes)
    if backend:
        model, rewritten, refused = rewrite(model, package, backend, job)
        notes += refused
    # Rounding comes last: the comparison in `rewrite` would take its error for a fault.
    own = integers and _to_integers(model, package, work, rewritten, notes, job)
    if weights or rewritten or changed:
        (work / _GRAPH).write_bytes(model.SerializeToString())
    about = {"weights": weights, "own": own, "rewritten": rewritten, "notes": notes}
    (work / _ABOUT).write_text(json.dumps(about), encoding="utf-8")


def _to_integers(
    model: ModelProto, package: ModelPackage, work: Path, rewritten: dict[str, int], notes: list[str], job: Job
) -> bool:
    """Rewrite products, and give the graph a file of its own for all its weights, unless there are none.

    Returns:
        Whether any product was rewritten.
    """
    files = {file.name: file.path for file in package.external} | {package.model.sha256: package.model.path}

    def observe(names: list[str]) -> Mapping[str, NDArray[Any]]:
        try:
            return largest(model, package, names, job)
        except WebinferError as error:
            if job.cancelled:
                raise
            reason = " ".join(str(error).split())
            notes.append(f"all channels were rounded, as none could be observed: {reason}")
            log.warning("%s: %s", package.name, notes[-1])
            return {}

    done = to_integers(model, partial(read_weight, files=files), observe)
    if done:
        rewritten.update(done)
        import_contrib(model)
        with (work / _WEIGHTS).open("wb") as target:
            move_weights(model, files, target, _WEIGHTS)
    return bool(done)


def _read(place: Path, package: ModelPackage) -> Delivery:
    about = json.loads((place / _ABOUT).read_text(encoding="utf-8"))
    facts = about["rewritten"], tuple(about["notes"])
    if not (place / _GRAPH).exists():  # There was nothing to gain.
        return Delivery(package.model, package.external, *facts)
    graph = _file(place / _GRAPH)
    if about.get("own"):
        return Delivery(graph, (_file(place / _WEIGHTS),), *facts)
    weights = (replace(package.model, name=package.model.sha256),) if about["weights"] else ()
    return Delivery(graph, (*weights, *package.external), *facts)


def _file(path: Path) -> ModelFile:
    return ModelFile(path.name, path, path.stat().st_size, hash_file(path))
