"""A model on disk: its files, verified and described."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from webinfer.core.cache import hash_file
from webinfer.core.errors import InvalidModel
from webinfer.core.tensors import Signature
from webinfer.models.files.content_id import model_cid
from webinfer.models.files.family import Family, family
from webinfer.models.files.signature import read

ORIGIN = "webinfer.json"  # beside models built here: where they came from, and whether their weights are real


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model.

    Attributes:
        name: Its name as the model knows it: for external data, the path stated in the graph.
        path: Its place on disk.
        nbytes: Its size.
        sha256: Hash of the whole file's contents, in hexadecimal.
        start: Where in the file the ``nbytes`` begin, of a part of it; ``None`` for the whole.
    """

    name: str
    path: Path
    nbytes: int
    sha256: str
    start: int | None = None


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A model with all that belongs to it.

    Attributes:
        reference: As the caller named it.
        name: Short name, for people.
        sha256: Identity of the model: the hash over its files.
        model: The ONNX file.
        external: Files of weights that it refers to.
        signature: Its inputs and outputs.
        config: Contents of config.json, or empty.
        family: What kind of model it is.
        weights: ``random`` for an architecture without training, else ``real``.
        precision: ``fp32``, ``fp16``, ``q8`` or ``q4`` by what the file holds; or the one that webinfer gave it.
        tokenizer: Path of tokenizer.json, or ``None``.
        origin: Where its weights come from, as far as that is known: for the hub ``hf:ORG/NAME@COMMIT``, which may
            be a conversion of what was named.
        cid: CID of its files, the ONNX file's or that of a directory with it and its weights: what
            ``webinfer ipfs add`` prints for them.
        cached: Of a model that is named by its CID, whether nothing had to be fetched; ``None`` for all others.
        available: Precisions that the model comes in, by the hub's names.
        parts: Its parts, where it is split into several files, of which ``model`` is one.
        quantized: How webinfer quantized it: sizes before and after, methods, and ``loss``, measured against the full
            model. Empty where webinfer did not.
    """

    reference: str
    name: str
    sha256: str
    model: ModelFile
    external: tuple[ModelFile, ...]
    signature: Signature
    config: dict[str, Any]
    family: Family
    weights: Literal["real", "random"]
    precision: str
    tokenizer: Path | None
    origin: str = ""
    cid: str = ""
    cached: bool | None = field(default=None, compare=False)
    available: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    quantized: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Size of all its files."""
        return self.model.nbytes + sum(file.nbytes for file in self.external)

    def settings(self, name: str) -> dict[str, Any]:
        """Return the contents of a JSON file beside the model, such as ``generation_config.json``; empty without it.

        Args:
            name: Name of the file.

        Returns:
            The object in it.

        Raises:
            InvalidModel: It is no JSON object.
        """
        return _read_json(_companion(self.model.path, name))


def describe(path: Path, reference: str, name: str | None = None) -> ModelPackage:
    """Describe the model in an ONNX file.

    config.json and tokenizer.json are taken from beside the file, and, where its directory is called ``onnx``
    as in the hub's layout, from the one above.

    Args:
        path: The ONNX file.
        reference: As the caller named it.
        name: Short name; ``None`` takes it from the path.

    Returns:
        The model: its files and hash, its signature, and what lies beside it.

    Raises:
        InvalidModel: The file or what belongs to it cannot be read.
    """
    contents = read(path)
    model = _file(path.name, path)
    external = tuple(_file(location, path.parent / location) for location in contents.external)
    config = _read_json(_companion(path, "config.json"))
    origin = _read_json(_companion(path, ORIGIN))
    quantized = (origin.get("quantized") or {}).get(path.stem) or {}
    return ModelPackage(
        reference=reference,
        name=name or _name(path),
        sha256=_identity(model, external),
        model=model,
        external=external,
        signature=contents.signature,
        config=config,
        family=family(config, contents.signature),
        weights="random" if origin.get("weights") == "random" else "real",
        precision=quantized.get("precision") or contents.precision,
        tokenizer=_companion(path, "tokenizer.json"),
        origin=str(origin.get("origin", "")),
        cid=model_cid({file.name: file.path for file in (model, *external)}),
        quantized=quantized,
    )


def _file(name: str, path: Path) -> ModelFile:
    return ModelFile(name, path.absolute(), path.stat().st_size, hash_file(path))


def _identity(model: ModelFile, external: tuple[ModelFile, ...]) -> str:
    if not external:
        return model.sha256
    # Names count, since the graph refers to files by them; their order does not.
    lines = [model.sha256, *sorted(f"{file.sha256} {file.name}" for file in external)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _companion(path: Path, name: str) -> Path | None:
    places = [path.parent, path.parent.parent] if path.parent.name == "onnx" else [path.parent]
    return next((place / name for place in places if (place / name).is_file()), None)


def _read_json(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidModel(f"{path} is not JSON ({error}): fetch it again, or remove it.", path=str(path)) from error
    if not isinstance(value, dict):
        raise InvalidModel(f"{path} holds no JSON object: fetch it again, or remove it.", path=str(path))
    return value


def _name(path: Path) -> str:
    """Return the directory's name for a file called ``model``, with or without a precision, else the file's."""
    if path.stem.split("_")[0] != "model":
        return path.stem
    directory = path.absolute().parent
    return (directory.parent if directory.name == "onnx" else directory).name or path.stem
