"""Where a model goes wrong in a browser, as files that show it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from webinfer.accuracy.bounded.reference import canaries_of
from webinfer.accuracy.comparison import compare, fault, limits_for
from webinfer.accuracy.locate.excerpt import Arrays
from webinfer.accuracy.locate.location import Difference, Location
from webinfer.accuracy.locate.locator import FAILURES, Locator
from webinfer.accuracy.locate.page import write_page
from webinfer.api.sync.accelerator import Accelerator
from webinfer.core.options import Backend
from webinfer.core.tensors import prepare
from webinfer.core.tensors.archive import write_arrays
from webinfer.inference.result import Result
from webinfer.models.files.package import ModelPackage

__all__ = ["Difference", "LocatedFault", "Location", "locate"]


@dataclass(frozen=True, slots=True)
class LocatedFault:
    """A place where a model goes wrong, and the files that show it.

    Attributes:
        location: The place.
        model: The smallest ONNX file that shows it, with its weights inside.
        arrays: Its inputs and native onnxruntime's outputs, as a ``.npz`` file: ``input:NAME`` and ``output:NAME``.
        page: A page that shows it with nothing but ONNX Runtime Web.
    """

    location: Location
    model: Path
    arrays: Path
    page: Path


def locate(
    accelerator: Accelerator,
    package: ModelPackage,
    backend: Backend,
    folder: Path,
    inputs: Mapping[str, Any] | None = None,
) -> LocatedFault | None:
    """Find the first node whose output differs from native onnxruntime's, and write files that show it.

    Args:
        accelerator: Runs the parts of the model.
        package: The model.
        backend: The backend to look at.
        folder: Where the files go; it is made.
        inputs: A request that shows the fault; ``None`` tries those that the gate makes up.

    Returns:
        The fault; ``None`` where the browser computes every value as native onnxruntime does.

    Raises:
        InputError: The inputs do not fit.
        WebinferError: Native onnxruntime cannot run the model, or the browser cannot be had.
    """
    given = _failing(accelerator, package, backend) if inputs is None else prepare(package.signature, inputs)
    if given is None:
        return None
    run = _BrowserRun(accelerator, backend)
    with tempfile.TemporaryDirectory(prefix="webinfer-") as name:
        locator = Locator(package, given, run, limits_for(package.precision), Path(name))
        location = locator.locate()
        if location is None:
            return None
        return _write(location, folder, package, backend, run.result)


def _failing(accelerator: Accelerator, package: ModelPackage, backend: Backend) -> Arrays | None:
    """Return the first canary that the browser does not answer as native onnxruntime does; ``None`` if there is none.

    Raises:
        RunFailed: Native onnxruntime does not answer.
        WebinferError: The browser cannot be had.
    """
    canaries = canaries_of(package)
    canary = canaries[0]  # which fails, where the model does not even load
    try:
        with accelerator.load(package.model.path, platform=backend) as model:
            for canary in canaries:
                outputs = model.run(canary.inputs).outputs
                if fault(compare(outputs, canary.answer, canary.steady), limits_for(package.precision)):
                    return canary.inputs
    except FAILURES:
        return canary.inputs
    return None


class _BrowserRun:
    """Runs parts of a model in the browser.

    Args:
        accelerator: The accelerator, which has the browser.
        backend: The backend.

    Attributes:
        result: The last one, which names the browser and its runtime; ``None`` while no part was answered.
    """

    def __init__(self, accelerator: Accelerator, backend: Backend) -> None:
        self.result: Result | None = None
        self._accelerator = accelerator
        self._backend = backend

    def __call__(self, path: Path, arrays: Arrays) -> Mapping[str, NDArray[Any]]:
        with self._accelerator.load(path, platform=self._backend) as model:
            self.result = model.run(arrays)
        return self.result.outputs


def _write(
    location: Location, folder: Path, package: ModelPackage, backend: Backend, result: Result | None
) -> LocatedFault:
    """Return the files of a fault, written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = location.excerpt.stem
    model, arrays, page = (folder / f"{stem}{suffix}" for suffix in (".onnx", ".npz", ".html"))
    shutil.copyfile(location.excerpt, model)
    named = {f"input:{name}": array for name, array in location.inputs.items()}
    named |= {f"output:{name}": array for name, array in location.outputs.items()}
    write_arrays(arrays, named)
    about = {"model": package.name, "node": location.node}
    version = "latest"  # where the browser failed at every part, no result names the runtime
    if result is not None:
        about |= {"browser": f"{result.engine} {result.engine_version}", "runtime": result.runtime}
        version = result.runtime.split()[1]
    page.write_text(write_page(location, model, about, backend, version), encoding="utf-8")
    return LocatedFault(location, model, arrays, page)
