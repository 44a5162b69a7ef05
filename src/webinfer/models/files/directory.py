"""Models on this machine: files, directories, and names under ``WEBINFER_MODELS``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from webinfer.core.errors import ModelNotFound
from webinfer.models.files.package import ModelPackage, describe
from webinfer.models.files.variants import FOLDER, available, choose, graphs, parts

VARIABLE = "WEBINFER_MODELS"


def open_path(
    path: Path, reference: str, name: str | None = None, *, precision: str | None = None, part: str | None = None
) -> ModelPackage:
    """Open an ONNX file, or the model in a directory.

    Args:
        path: A file; or a directory with ``onnx/model.onnx``, ``model.onnx``, a single ``.onnx`` file, or parts.
        reference: As the caller named it.
        name: Short name; ``None`` takes it from the path.
        precision: One of ``variants.PRECISIONS``: the file that has its suffix is opened. ``None`` opens the plain one.
        part: Which part of a directory's model, such as ``encoder_model``.

    Returns:
        The model, with the precisions and parts that its directory offers.

    Raises:
        ModelNotFound: The directory has no model, has none in that precision, or has several and none is called
            ``model.onnx``.
        InvalidModel: The model cannot be read.
    """
    if path.is_dir():
        files = _files(path)
        package = describe(_model_in(path, files, precision, part), reference, name or path.absolute().name)
        return replace(package, available=tuple(available(files, part=part)), parts=parts(files))
    if part is not None:
        raise ModelNotFound(f"{path} is one file, which has no part {part!r}: name its directory.", reference=str(path))
    if precision is not None:
        path = _variant(path, precision)
    return describe(path, reference, name)


def roots() -> list[Path]:
    """Return the directories that ``WEBINFER_MODELS`` names."""
    return [Path(part).expanduser() for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]


def candidates(name: str) -> Iterator[Path]:
    """Yield the paths that a model of this name may have, best first.

    Args:
        name: The model's name, as a user gives it.
    """
    for root in roots():
        yield root / name
        yield root / f"{name}.onnx"
        if "/" not in name and root.is_dir():  # a name without its organization
            yield from sorted(child / name for child in root.iterdir() if child.is_dir() and (child / name).exists())


def names() -> list[str]:
    """Return the names of the models under ``WEBINFER_MODELS``."""
    models: set[str] = set()
    for root in roots():
        if not root.is_dir():
            continue
        for child in root.iterdir():
            if child.suffix == ".onnx":
                models.add(child.stem)
            elif child.is_dir() and _holds_model(child):
                models.add(child.name)
            elif child.is_dir():
                inner = [path for path in child.iterdir() if path.is_dir() and _holds_model(path)]
                models.update(f"{child.name}/{path.name}" for path in inner)
    return sorted(models)


def _holds_model(directory: Path) -> bool:
    return any(next(directory.glob(pattern), None) is not None for pattern in ("*.onnx", "onnx/*.onnx"))


def _files(directory: Path) -> list[str]:
    paths = [*directory.glob("*.onnx"), *directory.glob(f"{FOLDER}/*.onnx")]
    return [path.relative_to(directory).as_posix() for path in paths if path.is_file()]


def _model_in(directory: Path, files: list[str], precision: str | None, part: str | None) -> Path:
    chosen = choose(files, precision, part=part)
    if chosen is not None:
        return directory / chosen
    listed = ", ".join(graphs(files))
    if files and precision is not None:
        precisions = ", ".join(available(files, part=part))
        why = f"has no {part or 'model'} in {precision}, only {precisions or listed}"
    elif files and part is not None:
        why = f"has no part {part!r}, only {listed}"
    elif files:
        why = f"has several models ({listed}): name one of these files"
    else:
        why = "has no model: expected onnx/model.onnx, model.onnx or a single .onnx file"
    raise ModelNotFound(
        f"{directory} {why}.", reference=str(directory), found=[str(directory / file) for file in files]
    )


def _variant(path: Path, precision: str) -> Path:
    """Return the file of a precision beside the plain one.

    Raises:
        ModelNotFound: There is none.
    """
    variants = available([file.name for file in path.parent.glob("*.onnx")], path.name)
    if precision not in variants:
        raise ModelNotFound(
            f"{path} has no variant in {precision} beside it, only {', '.join(variants) or 'itself'}.",
            reference=str(path),
        )
    return path.parent / variants[precision]
