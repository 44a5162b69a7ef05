"""Where the atlas is kept: one compact file that ships with the package, and one of the user's own.

The file is gzipped JSON. All surveys share one list of cases; a survey has one letter for each case, and its notes.
"""

from __future__ import annotations

import gzip
import io
import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

from webinfer.accuracy.atlas.rows import Atlas, Case, Ground, NodeFacts, OperatorVerdict, Outcome
from webinfer.core.cache import cache_dir
from webinfer.core.errors import OptionError
from webinfer.core.json import dumps, write_bytes
from webinfer.core.options import BACKENDS, Backend

FORMAT = 1
_SHIPPED = "atlas.json.gz"
_LARGEST = 64 << 20  # bytes of a file's JSON: a hundred times what ships; a file of others' may be made to fill memory
_LETTERS: dict[Outcome, str] = {"right": "r", "fallback": "f", "wrong": "w", "refused": "x", "kills": "k"}
_OUTCOMES = {letter: outcome for outcome, letter in _LETTERS.items()}
_UNTRIED = "."


def user_path() -> Path:
    """Return where the rows of this user's own runs are kept."""
    return cache_dir() / "atlas" / _SHIPPED


def shipped() -> Atlas:
    """Return the rows that came with the package.

    Raises:
        OptionError: The file is damaged.
    """
    return decode(resources.files("webinfer.accuracy.atlas").joinpath(_SHIPPED).read_bytes(), "the shipped atlas")


def known() -> Atlas:
    """Return every row known here: those shipped, and the user's own, which win.

    Returns:
        The rows. It is read once, and again when the user's file changes; do not change it.
    """
    path = user_path()
    try:
        status = path.stat()
    except OSError:
        return _known(None, None)
    return _known(path, (status.st_mtime_ns, status.st_size))


@cache
def _known(path: Path | None, _state: tuple[int, int] | None) -> Atlas:
    atlas = shipped()
    if path is not None:
        atlas.merge(read(path))
    return atlas


def read(path: Path) -> Atlas:
    """Read a file of rows.

    Args:
        path: The file.

    Returns:
        Its rows.

    Raises:
        OptionError: It cannot be read, is none of these files, or is too large.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OptionError(f"{path} cannot be read ({error.strerror}): name another file.", option="atlas") from error
    return decode(data, str(path))


def read_user() -> Atlas:
    """Return the rows of the user's own runs; none where there were no runs."""
    path = user_path()
    return read(path) if path.exists() else Atlas()


def write(path: Path, atlas: Atlas) -> None:
    """Write a file of rows in one step: a reader finds the old file or the new one.

    Args:
        path: The file. Directories on the way are made.
        atlas: The rows.

    Raises:
        OSError: It cannot be written. The old file is as it was.
    """
    write_bytes(path, encode(atlas))


def encode(atlas: Atlas) -> bytes:
    """Return the compact form of an atlas; the same rows always give the same bytes.

    Args:
        atlas: The rows.
    """
    cases = sorted(atlas.cases.values(), key=lambda case: case.key)
    surveys = sorted(atlas.surveys.values(), key=lambda survey: survey.ground.key)
    value = {
        "format": FORMAT,
        "cases": [_case(case) for case in cases],
        "surveys": [
            {
                "ground": survey.ground.to_dict(),
                "verdicts": "".join(
                    _LETTERS[verdict.outcome] if (verdict := survey.verdicts.get(case.key)) else _UNTRIED
                    for case in cases
                ),
                "notes": {
                    str(number): verdict.note
                    for number, case in enumerate(cases)
                    if (verdict := survey.verdicts.get(case.key)) and verdict.note
                },
            }
            for survey in surveys
        ],
    }
    return gzip.compress(dumps(value).encode(), mtime=0)


def decode(data: bytes, name: str) -> Atlas:
    """Read the compact form of an atlas.

    Args:
        data: The file's bytes, gzipped or not.
        name: What to call the file in an error.

    Returns:
        The rows.

    Raises:
        OptionError: It is something else, or too large.
    """
    try:
        return _decode(_unpack(data))
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OptionError(f"{name} is no file of `webinfer atlas`, or is damaged: {error}.", option="atlas") from error


def _unpack(data: bytes) -> Any:
    if data[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"it holds more than {_LARGEST >> 20} MB")
    return json.loads(data)


def _case(case: Case) -> list[Any]:
    facts = case.facts
    return [
        case.name,
        facts.operator,
        facts.domain,
        facts.opset,
        list(facts.dtypes),
        dict(facts.attributes),
        dict(facts.traits),
    ]


def _decode(value: Any) -> Atlas:
    if value["format"] != FORMAT:
        raise ValueError(f"its format is {value['format']}, and this webinfer reads {FORMAT}")
    atlas = Atlas()
    cases = [
        Case(
            str(name),
            NodeFacts(str(operator), str(domain), int(opset), tuple(map(str, dtypes)), _texts(stated), _texts(traits)),
        )
        for name, operator, domain, opset, dtypes, stated, traits in value["cases"]
    ]
    for fields in value["surveys"]:
        ground = _ground(_texts(fields["ground"]))
        notes = fields["notes"]
        for number, (case, letter) in enumerate(zip(cases, fields["verdicts"], strict=True)):
            if letter != _UNTRIED:
                atlas.add(ground, case, OperatorVerdict(_OUTCOMES[letter], str(notes.get(str(number), ""))))
    return atlas


def _ground(fields: dict[str, str]) -> Ground:
    backend = BACKENDS[BACKENDS.index(cast(Backend, fields["backend"]))]
    return Ground(backend=backend, **{name: text for name, text in fields.items() if name != "backend"})


def _texts(value: Any) -> dict[str, str]:
    return {str(key): str(text) for key, text in value.items()}
