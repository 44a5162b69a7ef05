"""Models brought to a precision, made once and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from webinfer.core.cache import cache_dir, claim
from webinfer.core.errors import ModelNotFound, NotQuantizable
from webinfer.core.lifetime.worker_process import Job, WorkerEnded, WorkerProcess
from webinfer.core.progress import Progress, ProgressCallback
from webinfer.core.tensors import prepare
from webinfer.core.tensors.archive import write_arrays
from webinfer.models.files.package import ModelPackage, describe
from webinfer.models.files.variants import FOLDER, PRECISIONS
from webinfer.models.sources.resolve import resolve
from webinfer.quantization.weights.scheme import SCHEMES, Method, Scheme, scheme_of

_VERSION = "2"  # raised when what is made changes, so that what lies in caches is made again
_HALVED = ".1"  # the same, of half floats alone
_WORKER = "webinfer.quantization.worker"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def obtain(
    reference: str | Path,
    *,
    precision: str | None = None,
    part: str | None = None,
    progress: ProgressCallback | None = None,
    job: Job | None = None,
) -> ModelPackage:
    """Find a model in a precision, as its author ships it, or else make it; see ``resolve`` and ``quantize``.

    Args:
        reference: The model, as ``resolve`` takes it.
        precision: Name of the precision; ``None`` for full precision.
        part: Part of a model that is split; ``None`` for the whole.
        progress: Called with stages and bytes.
        job: What may be cancelled from another thread.

    Returns:
        The model in that precision.

    Raises:
        ModelNotFound: There is no such model, or its author does not ship it in a precision that cannot be made.
        ModelError: As ``resolve`` and ``quantize``.
    """
    try:
        return resolve(reference, progress=progress, precision=precision, part=part)
    except ModelNotFound:
        if precision not in SCHEMES:
            raise
    package = resolve(reference, progress=progress, part=part)
    return package if package.precision == precision else quantize(package, precision, progress=progress, job=job)


def quantize(
    package: ModelPackage,
    precision: str,
    *,
    method: Method = "calibrated",
    inputs: Sequence[Mapping[str, Any]] = (),
    progress: ProgressCallback | None = None,
    job: Job | None = None,
) -> ModelPackage:
    """Bring a model to a precision, unless that was done. Takes seconds to minutes, in a process of its own.

    Args:
        package: The model, in full precision.
        precision: One of ``SCHEMES``.
        method: ``calibrated`` learns from inputs how to round, ``searched`` only looks at the weights, ``nearest``
            rounds. It makes a difference with 4 bits and fewer.
        inputs: Inputs to learn from and to measure the loss with; without any, some are made, or what was made of the
            caller's own inputs before is taken.
        progress: Told of the bytes of weights that are done.
        job: By which another thread can end it.

    Returns:
        The model in that precision; ``quantized`` tells how it was made, and what it loses.

    Raises:
        OptionError: There is no such precision.
        NotQuantizable: It cannot be done, for a reason that the error names; or it was given up.
        UnsupportedOperator: It has custom operators.
    """
    scheme = scheme_of(precision)
    if scheme.name == "fp32":
        raise NotQuantizable(
            f"{package.name} comes in {package.precision}, from which fp32 cannot be had back.", reason="quantized"
        )
    prepared = [prepare(package.signature, one) for one in inputs]
    version = _VERSION + (_HALVED if scheme.half else "")
    name = f"{package.sha256[:32]}-{scheme.name}-{method}{_digest(prepared)}-{version}"
    place = cache_dir() / "quantized" / name
    if not prepared and not place.exists():
        place = _made_of_own_inputs(place, version) or place
    with claim(place) as work:
        if work is not None:
            _make(package, scheme, method, prepared, work, progress, job or Job())
    return opened(package, scheme, place)


def opened(package: ModelPackage, scheme: Scheme, place: Path) -> ModelPackage:
    """Open what was made of a model.

    Args:
        package: The full model.
        scheme: How it was quantized.
        place: Directory of what was made.

    Returns:
        The quantized model.
    """
    (path,) = (place / FOLDER).glob(f"*{PRECISIONS[scheme.name]}.onnx")  # called as the file that it was made of was
    quantized = describe(path, package.reference, package.name)
    return replace(
        quantized,
        origin=package.origin,
        available=package.available,
        parts=package.parts,
        family=package.family,
        weights=package.weights,
    )


def _make(
    package: ModelPackage,
    scheme: Scheme,
    method: Method,
    inputs: list[dict[str, Any]],
    work: Path,
    progress: ProgressCallback | None,
    job: Job,
) -> None:
    stage = f"quantize {package.name} to {scheme.name}"
    given = [work / f"inputs{index}.npz" for index in range(len(inputs))]
    for path, arrays in zip(given, inputs, strict=True):
        write_arrays(path, arrays)
    order = {
        "path": str(package.model.path),
        "reference": package.reference,
        "name": package.name,
        "precision": scheme.name,
        "method": method,
        "directory": str(work),
        "inputs": [str(path) for path in given],
    }

    def notice(part: float) -> None:
        if progress is not None:
            progress(Progress(stage, int(part * package.nbytes), package.nbytes))

    worker = WorkerProcess(_WORKER, dict.fromkeys(_THREADS, "1"))
    try:
        worker.ask(order, job, notice)
    except WorkerEnded as error:
        why = "was given up" if job.cancelled else "ended before it was done, perhaps for want of memory"
        raise NotQuantizable(f"Bringing {package.name} to {scheme.name} {why}.", reason="cancelled") from error
    finally:
        worker.close()
    for path in given:
        path.unlink()


def _made_of_own_inputs(place: Path, version: str) -> Path | None:
    """Return the directory of what was last made of the same model with inputs of the caller's."""
    stem = place.name.removesuffix(f"-{version}")
    found = [path for path in place.parent.glob(f"{stem}-*-{version}") if path.is_dir()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _digest(inputs: list[dict[str, Any]]) -> str:
    if not inputs:
        return ""
    digest = hashlib.sha256()
    for arrays in inputs:
        for name, array in arrays.items():
            digest.update(f"{name}{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
    return "-" + digest.hexdigest()[:16]
