"""A model as it goes to a lane: a small graph made for the backend, and the files that hold its weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from webinfer.cache import cache_dir, claim, hash_file
from webinfer.models.fusion import fuse
from webinfer.models.outline import outline
from webinfer.models.package import ModelFile, ModelPackage
from webinfer.options import Backend

log = logging.getLogger("webinfer.models")

_MADE = "1"  # raised when what is made of a model changes
_GRAPH, _ABOUT = "model.onnx", "about.json"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a lane is given of a model.

    Attributes:
        model: The graph.
        external: The files that hold its weights, by the names that the graph knows them by.
        rewritten: Subgraphs that were replaced, by the operator that replaced them.
    """

    model: ModelFile
    external: tuple[ModelFile, ...]
    rewritten: Mapping[str, int] = field(default_factory=dict)


def deliver(package: ModelPackage, backend: Backend, *, optimize: bool = True) -> Delivery:
    """Make a model ready for a backend, or find it made in the cache.

    The graph goes without its weights, which are fetched from the model's own file: see ``outline``. Where the cache
    cannot be written, the model goes as it is.

    Args:
        package: The model.
        backend: Backend that is to run it.
        optimize: Replace subgraphs by operators that the backend has a faster kernel for: see ``fuse``.

    Raises:
        InvalidModel: The file is not ONNX, or is cut off.
    """
    place = cache_dir() / "delivered" / f"{package.model.sha256}-{backend if optimize else 'plain'}-{_MADE}"
    try:
        with claim(place) as work:
            if work is not None:
                _make(package.model, work, backend if optimize else None)
        return _found(place, package)
    except OSError as error:
        log.warning("%s goes to the browser as it is: the cache cannot be used (%s)", package.name, error)
        return Delivery(package.model, package.external)


def _make(source: ModelFile, work: Path, backend: Backend | None) -> None:
    model = outline(source.path, source.sha256)
    weights = any(entry.value == source.sha256 for tensor in model.graph.initializer for entry in tensor.external_data)
    rewritten = fuse(model, backend) if backend else {}
    if weights or rewritten:
        (work / _GRAPH).write_bytes(model.SerializeToString())
    (work / _ABOUT).write_text(json.dumps({"weights": weights, "rewritten": rewritten}), encoding="utf-8")


def _found(place: Path, package: ModelPackage) -> Delivery:
    about = json.loads((place / _ABOUT).read_text(encoding="utf-8"))
    path = place / _GRAPH
    if not path.exists():  # There was nothing to gain.
        return Delivery(package.model, package.external)
    graph = ModelFile(path.name, path, path.stat().st_size, hash_file(path))
    weights = (replace(package.model, name=package.model.sha256),) if about["weights"] else ()
    return Delivery(graph, (*weights, *package.external), about["rewritten"])
