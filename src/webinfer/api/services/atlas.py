"""The operator atlas: run, read, compared, merged, shown."""

from __future__ import annotations

from pathlib import Path

from webinfer.accuracy.atlas.difference import AtlasChange, AtlasDifference, differences
from webinfer.accuracy.atlas.page import render
from webinfer.accuracy.atlas.rows import OUTCOMES, Atlas, AtlasRow, Ground, OperatorVerdict, Outcome, Survey
from webinfer.accuracy.atlas.store import known, read, read_user, shipped, user_path, write
from webinfer.accuracy.atlas.trials import OperatorTrial, all_trials
from webinfer.api.atlas.check import Check, Trouble, check, try_out
from webinfer.api.atlas.surveyor import Step, Surveyor
from webinfer.core.errors import OptionError

__all__ = [
    "OUTCOMES",
    "Atlas",
    "AtlasChange",
    "AtlasDifference",
    "AtlasRow",
    "Check",
    "Ground",
    "OperatorTrial",
    "OperatorVerdict",
    "Outcome",
    "Step",
    "Survey",
    "Surveyor",
    "Trouble",
    "all_trials",
    "check",
    "differences",
    "find",
    "known",
    "merge",
    "read_user",
    "render",
    "shipped",
    "try_out",
    "user_path",
]


def find(name: str) -> Atlas:
    """Return the atlas that a name stands for.

    Args:
        name: The path of a file; ``shipped``, for the rows that came with the package; ``user``, for those of this
            user's own runs; or the name of a survey that is known here, or its beginning, such as ``embedded-153``.

    Returns:
        Its rows.

    Raises:
        OptionError: There is no such file or survey, or the file is something else.
    """
    if Path(name).is_file():
        return read(Path(name))
    if name in ("shipped", "user"):
        return shipped() if name == "shipped" else read_user()
    everything, chosen = known(), Atlas()
    for key, survey in everything.surveys.items():
        if survey.ground.name.startswith(name):
            chosen.surveys[key] = survey
    if not chosen.surveys:
        names = ", ".join(sorted({survey.ground.name for survey in everything.surveys.values()})) or "none"
        raise OptionError(f"{name} is no file and no survey. Surveys known here: {names}.", option="atlas")
    chosen.cases = everything.cases
    return chosen


def merge(paths: list[Path], target: Path | None = None) -> tuple[Atlas, int]:
    """Take the rows of files into another file. Each survey keeps what it says of where it was run.

    Args:
        paths: The files.
        target: The file that takes them, made if it is missing; ``None`` for this user's own.

    Returns:
        All rows of that file, and how many of them are new or changed.

    Raises:
        OptionError: A file cannot be read, or the target cannot be written.
    """
    place = target or user_path()
    others = [read(path) for path in paths]
    atlas = read(place) if place.exists() else Atlas()
    changed = sum(atlas.merge(other) for other in others)
    try:
        write(place, atlas)
    except OSError as error:
        raise OptionError(
            f"{place} cannot be written ({error.strerror}): name another file.", option="atlas"
        ) from error
    return atlas, changed
