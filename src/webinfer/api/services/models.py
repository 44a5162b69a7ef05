"""Model files without a browser: named, fetched or built, brought to fewer bits, removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webinfer.core.cache import cache_dir
from webinfer.core.errors import WebinferError
from webinfer.models.files.directory import VARIABLE, names
from webinfer.models.files.package import ORIGIN, ModelPackage
from webinfer.models.files.variants import PRECISIONS
from webinfer.models.preprocessing.image_processor import FILE as PROCESSOR_FILE
from webinfer.models.preprocessing.images import open_image
from webinfer.models.preprocessing.pooling import normalize, sentence_vectors
from webinfer.models.sources.cached import here, remove, weigh
from webinfer.models.sources.resolve import listed, resolve
from webinfer.models.zoo.probe import probe_model
from webinfer.quantization import SCHEMES, obtain, precision_of, quantize
from webinfer.quantization.weights.scheme import Method

__all__ = [
    "ORIGIN",
    "PRECISIONS",
    "PROCESSOR_FILE",
    "SCHEMES",
    "VARIABLE",
    "ListedModel",
    "Method",
    "ModelPackage",
    "cache_dir",
    "listed",
    "listed_models",
    "model_roots",
    "normalize",
    "obtain",
    "open_image",
    "precision_of",
    "probe_model",
    "quantize",
    "remove",
    "resolve",
    "sentence_vectors",
    "weigh",
]


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that can be named.

    Attributes:
        reference: What to name it by.
        package: The model, where it is ready and can be read.
        error: Why it cannot be read.
    """

    reference: str
    package: ModelPackage | None = None
    error: WebinferError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the model as values of JSON."""
        values: dict[str, Any] = {"reference": self.reference, "ready": self.package is not None}
        if self.error is not None:
            values["error"] = self.error.to_dict()
        if self.package is not None:
            attributes = ("name", "sha256", "cid", "nbytes", "family", "weights", "precision", "origin", "available")
            values |= {name: getattr(self.package, name) for name in attributes}
            values |= {"path": self.package.model.path, "tokenizer": self.package.tokenizer is not None}
        return values


def listed_models() -> Iterator[ListedModel]:
    """Yield every model that can be listed. Models that would have to be built or fetched first are not opened."""
    own = set(names())
    references = listed()
    ready = {reference: path for reference, path in here(references).items() if reference not in own}
    for reference in [*references, *(extra for extra in ready if extra not in references)]:
        source = reference if reference in own else ready.get(reference)
        yield _open(reference, source) if source is not None else ListedModel(reference)


def model_roots() -> str | None:
    """Return the directories of models that WEBINFER_MODELS names, as it stands in the environment."""
    return os.environ.get(VARIABLE)


def _open(reference: str, source: str | Path) -> ListedModel:
    try:
        return ListedModel(reference, resolve(source))
    except WebinferError as error:
        return ListedModel(reference, error=error)
