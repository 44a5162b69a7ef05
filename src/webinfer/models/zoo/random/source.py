"""The table of the source ``random:``, and from a name in it to a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from webinfer.core.cache import cache_dir, claim
from webinfer.core.progress import Progress, ProgressCallback
from webinfer.models.files.directory import open_path
from webinfer.models.files.package import ORIGIN, ModelPackage
from webinfer.models.zoo import VERSION
from webinfer.models.zoo.formats.graph import save_all
from webinfer.models.zoo.random import audio, generation, text, vision
from webinfer.models.zoo.random.entry import Architecture

SEED = 0

ARCHITECTURES: dict[str, Architecture] = {**text.MODELS, **vision.MODELS, **generation.MODELS, **audio.MODELS}


def open_random(
    name: str, reference: str, progress: ProgressCallback | None, *, part: str | None = None
) -> ModelPackage | None:
    """Build the model, unless it was built before. The weights take a few seconds per gigabyte to make.

    Args:
        name: Name of the architecture.
        reference: The whole reference, ``random:NAME``.
        progress: Called with stages and bytes.
        part: Part of a model that is split, as ``decoder``; ``None`` for the whole.

    Returns:
        The model, or ``None`` for a name that is not in ``ARCHITECTURES``.

    Raises:
        OptionError: The model has no such part.
    """
    architecture = ARCHITECTURES.get(name)
    if architecture is None:
        return None
    directory = cache_dir() / "models" / "random" / f"{name}-{VERSION}"
    with claim(directory) as work:
        if work is not None:
            _build(name, architecture, work, progress)
    return open_path(directory, reference, name, part=part)


def names() -> list[str]:
    """Return the names that this source knows."""
    return sorted(ARCHITECTURES)


def _build(name: str, architecture: Architecture, work: Path, progress: ProgressCallback | None) -> None:
    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(Progress(f"build {name}", done, total))

    (work / "onnx").mkdir()
    save_all(architecture.graphs(architecture.config), work / "onnx", architecture.weights(SEED), tell)
    for file, contents in {"config.json": architecture.config, **architecture.companions}.items():
        _write(work / file, contents)
    _write(work / ORIGIN, {"origin": f"random:{name}", "weights": "random", "seed": SEED})


def _write(path: Path, contents: Any) -> None:
    path.write_text(json.dumps(contents, indent=2), encoding="utf-8")
