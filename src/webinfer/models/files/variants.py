"""The hub's naming convention: which file of a model holds which precision, and what belongs to it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator

from webinfer.core.errors import OptionError

# Fullest first. The suffixes are those of Transformers.js and of the conversions made for it; q4-mixed and q3 are ours.
PRECISIONS: dict[str, str] = {
    "fp32": "",
    "fp16": "_fp16",
    "q8": "_quantized",
    "int8": "_int8",
    "uint8": "_uint8",
    "q4": "_q4",
    "q4f16": "_q4f16",
    "bnb4": "_bnb4",
    "q4-mixed": "_q4_mixed",
    "q3": "_q3",
    "q2": "_q2",
}
COMPANIONS = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "preprocessor_config.json",
    "generation_config.json",
)
FOLDER = "onnx"
_SUFFIX = ".onnx"
_WHOLE = "model"  # the part that is a model by itself
# The parts of a model that is split in two, such as the hub's conversions of Whisper and T5. Where no part is named,
# the encoder is opened.
PARTS = ("encoder_model", "decoder_model_merged")


def check(precision: str | None) -> None:
    """Refuse a precision that has no name in the convention.

    Args:
        precision: Name of the precision, as ``q4``; ``None`` for full precision.

    Raises:
        OptionError: It is unknown.
    """
    if precision is not None and precision not in PRECISIONS:
        raise OptionError(
            f"precision must be one of {', '.join(PRECISIONS)}, and {precision!r} was given.", option="precision"
        )


def available(names: Collection[str], file: str | None = None, part: str | None = None) -> dict[str, str]:
    """Return the file of each precision there is, fullest first.

    Args:
        names: Paths of a model's files, relative to its directory, with slashes.
        file: The ONNX file whose precisions are wanted; ``None`` for the model's usual one.
        part: The wanted part: its file's name without folder, precision and ``.onnx``.
    """
    lone = None if file or part else _lone(names)
    stems = [file] if file else _places(part or _usual(names))
    return _precisions(names, [*stems, *([lone] if lone else [])])


def parts(names: Collection[str]) -> tuple[str, ...]:
    """Return the parts of a model that is split, or nothing for one that is whole.

    Args:
        names: Names of the model's files, relative to its root.

    Returns:
        Names of the parts, as ``encoder`` and ``decoder``.
    """
    split = all(_precisions(names, _places(part)) for part in PARTS)
    return PARTS if split and not _precisions(names, _places(_WHOLE)) else ()


def choose(
    names: Collection[str], precision: str | None = None, file: str | None = None, part: str | None = None
) -> str | None:
    """Return the ONNX file to open, or ``None`` if it is not there.

    Args:
        names: Paths of a model's files, relative to its directory, with slashes.
        precision: ``None`` takes the file of full precision, or the only ONNX file there is.
        file: The ONNX file that was named; ``None`` for the model's usual one.
        part: The part that was named; ``None`` for the model's usual one.
    """
    if precision is not None:
        return available(names, file, part).get(precision)
    if file is not None:
        return file if file in names else None
    usual = next((f"{stem}{_SUFFIX}" for stem in _places(part or _usual(names)) if f"{stem}{_SUFFIX}" in names), None)
    return usual or (None if part else _lone(names))


def graphs(names: Collection[str]) -> list[str]:
    """Return the ONNX files among a model's files.

    Args:
        names: Names of the model's files, relative to its root.

    Returns:
        Those that end in ``.onnx``.
    """
    return sorted(name for name in names if name.endswith(_SUFFIX))


def belongings(names: Collection[str], file: str) -> Iterator[str]:
    """Yield what belongs to an ONNX file by its name: its external data, and the model's configuration.

    Args:
        names: Names of the model's files, relative to its root.
        file: Name of the ONNX file.
    """
    data = re.compile(re.escape(file) + r"[._]data(_\d+)?")
    yield from sorted(name for name in names if data.fullmatch(name))
    folder = posixpath.dirname(file)
    places = [folder, posixpath.dirname(folder)] if posixpath.basename(folder) == FOLDER else [folder]
    for companion in COMPANIONS:
        beside = (posixpath.join(place, companion) for place in places)
        yield from (name for name in beside if name in names)


def _usual(names: Collection[str]) -> str:
    """Return the part that is opened where none is named."""
    return PARTS[0] if parts(names) else _WHOLE


def _places(part: str) -> list[str]:
    return [f"{FOLDER}/{part}", part]


def _precisions(names: Collection[str], stems: Collection[str]) -> dict[str, str]:
    files: dict[str, str] = {}
    for precision, suffix in PRECISIONS.items():
        spelled = (f"{stem.removesuffix(_SUFFIX)}{suffix}{_SUFFIX}" for stem in stems)
        file = next((name for name in spelled if name in names), None)
        if file is not None:
            files[precision] = file
    return files


def _lone(names: Collection[str]) -> str | None:
    """Return the only ONNX file at the top, or else the only one in ``onnx/``."""
    for place in ("", FOLDER):
        models = [name for name in graphs(names) if posixpath.dirname(name) == place]
        if models:
            return models[0] if len(models) == 1 else None
    return None
