"""Canaries of a model and native onnxruntime's answers to them, found out once and kept by the model's hash."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.accuracy.bounded.arrays import read_arrays, write_arrays
from webinfer.accuracy.bounded.process import ask, native_job
from webinfer.core.cache import cache_dir, claim
from webinfer.core.errors import OutOfMemory, RunFailed, WebinferError
from webinfer.core.lifetime.worker_process import Job
from webinfer.models.files.package import ModelPackage

Arrays = Mapping[str, NDArray[Any]]

VERSION = 4  # raised when canaries change
_ABOUT = "about.json"
_LONG = (2.0, 5.0)  # seconds, and times what the first canary took, that another one may take
_MORE = 1.5  # how much more time or memory there must be for another attempt


@dataclass(frozen=True, slots=True)
class Canary:
    """A request that is made up, and the right answer to it.

    Attributes:
        inputs: Arrays by input name.
        answer: Arrays by output name.
        steady: Where values of the answer follow from no near tie, by output name.
    """

    inputs: Arrays
    answer: Arrays
    steady: Arrays = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reference:
    """What native onnxruntime answers to a model's canaries.

    Attributes:
        canaries: The canaries, with its answers.
        version: Its version.
        reason: Why there are none.
        texts: Texts of few tokens, with its answers to their exact shape; see ``short_texts``.
    """

    canaries: tuple[Canary, ...] = ()
    version: str = ""
    reason: str | None = None
    texts: tuple[Canary, ...] = ()


def is_answered(package: ModelPackage) -> bool:
    """Return whether the cache knows what native onnxruntime answers to a model's canaries, or why it does not.

    Args:
        package: The model.
    """
    try:
        return (_place(package) / _ABOUT).exists()
    except (OSError, WebinferError):  # the cache cannot be used
        return False


def reference(package: ModelPackage, job: Job) -> Reference:
    """Return the canaries of a model with native onnxruntime's answers, from the cache where that has them.

    Args:
        package: The model.
        job: By which another thread can give it up; it has the limits, too. See ``bounded.native_job``.
    """
    try:
        place = _place(package)
        _forget_outgrown(place, job)
        with claim(place) as work:
            if work is not None:
                _answer(package, work, job)
        return _read(place)
    except OSError:  # the cache cannot be used
        with tempfile.TemporaryDirectory(prefix="webinfer-") as folder:
            _answer(package, Path(folder), job)
            return _read(Path(folder))


def canaries_of(package: ModelPackage) -> tuple[Canary, ...]:
    """Return a model's canaries with native onnxruntime's answers, at least one.

    Args:
        package: The model.

    Raises:
        RunFailed: There are none; the message says why.
    """
    known = reference(package, native_job(package))
    if known.reason is not None:
        raise RunFailed(f"Nothing says what {package.name} should answer: {known.reason}")
    return known.canaries


def answers_of(package: ModelPackage, graph: Path, canaries: tuple[Canary, ...], job: Job) -> list[Arrays]:
    """Return what another graph with the model's weights answers to canaries, natively and as it stands.

    Args:
        package: The model.
        graph: Path of the graph.
        canaries: The canaries.
        job: As ``reference`` takes it.

    Returns:
        Arrays by output name, for each canary.

    Raises:
        LoadFailed: onnxruntime refused the graph.
        OutOfMemory: It takes more memory than there is.
        RunFailed: onnxruntime failed, or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="webinfer-") as folder:
        for index, canary in enumerate(canaries):
            write_arrays(Path(folder) / f"{index}.inputs", canary.inputs)
        ask(job, "graph", package, Path(folder), {"graph": str(graph), "canaries": folder})
        return [read_arrays(Path(folder) / f"{index}.answers") for index in range(len(canaries))]


def _answer(package: ModelPackage, work: Path, job: Job) -> None:
    """Have canaries answered in a directory, and write there why they are not, unless the work was given up."""
    about: dict[str, Any] = {"seconds": job.seconds, "memory_mb": job.memory_mb, "reason": None, "lacks": None}
    began = time.monotonic()
    try:
        about |= ask(job, "answer", package, work, {"number": 0})
    except WebinferError as error:
        if job.cancelled:
            raise
        lacks = "memory_mb" if isinstance(error, OutOfMemory) else "seconds" if job.ending == "time" else None
        about |= {"reason": f"the canaries do not run natively: {error}", "lacks": lacks}
    else:
        _answer_more(package, work, job, about, time.monotonic() - began)
    (work / _ABOUT).write_text(json.dumps(about), encoding="utf-8")


def _answer_more(package: ModelPackage, work: Path, job: Job, about: Mapping[str, Any], seconds: float) -> None:
    """Have the other canaries answered, then short texts. What the model does not take, or takes long, is left out.

    Raises:
        RunFailed: The work was given up.
    """
    limit = max(_LONG[0], _LONG[1] * seconds)
    orders = [("answer", {"number": number}) for number in range(1, about["count"])]
    for what, details in [*orders, *([("texts", {})] if about["texts"] else [])]:
        with job.part(min(limit, job.seconds or limit)) as part:
            try:
                ask(part, what, package, work, details)
            except WebinferError:
                if job.cancelled:
                    raise


def _read(place: Path) -> Reference:
    about = json.loads((place / _ABOUT).read_text(encoding="utf-8"))
    if about["reason"] is not None:
        return Reference(reason=about["reason"])
    canaries = tuple(_canaries(place, map(str, range(about["count"]))))
    if not canaries:
        return Reference(version=about["version"], reason="native onnxruntime answers NaN to the canaries")
    texts = sorted(path.stem for path in place.glob("text-*.answers"))
    return Reference(canaries, about["version"], texts=tuple(_canaries(place, texts)))


def _canaries(place: Path, names: Iterable[str]) -> Iterator[Canary]:
    for name in names:
        if not (place / f"{name}.answers").exists():
            continue
        answer, steady = read_arrays(place / f"{name}.answers"), place / f"{name}.steady"
        if not any(np.isnan(array).any() for array in answer.values() if array.dtype.kind == "f"):
            yield Canary(read_arrays(place / f"{name}.inputs"), answer, read_arrays(steady) if steady.exists() else {})


def _place(package: ModelPackage) -> Path:
    return cache_dir() / "references" / f"{package.sha256[:32]}-{VERSION}"


def _forget_outgrown(place: Path, job: Job) -> None:
    """Forget that there was too little time or memory, where there is clearly more now."""
    try:
        about = json.loads((place / _ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    lacks = about.get("lacks")
    if lacks is not None and (getattr(job, lacks) or 0) > _MORE * (about[lacks] or 0):
        shutil.rmtree(place, ignore_errors=True)
