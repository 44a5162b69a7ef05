"""Files and directories to write: looked at before the work whose outcome they are for."""

from __future__ import annotations

import os
from pathlib import Path

import typer


def writable(path: Path | None) -> Path | None:
    """Refuse a file that cannot be written to, as the callback of an option.

    Raises:
        typer.BadParameter: It is a directory, or in none, or may not be written to.
    """
    if path is not None and path.is_dir():
        raise typer.BadParameter(f"{path} is a directory: name a file in it.")
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no directory {path.absolute().parent} to write {path.name} to.")
    if path is not None:
        _refuse_locked(path if path.exists() else path.absolute().parent)
    return path


def fillable(path: Path | None) -> Path | None:
    """Refuse a directory that cannot be made or written to, as the callback of an option.

    Raises:
        typer.BadParameter: It is a file, or would lie in one, or may not be written to.
    """
    if path is not None:
        there = next(place for place in (path.absolute(), *path.absolute().parents) if os.path.lexists(place))
        if not there.is_dir():
            raise typer.BadParameter(f"{there} is no directory to write to.")
        _refuse_locked(there)
    return path


def _refuse_locked(place: Path) -> None:
    if not os.access(place, os.W_OK):
        raise typer.BadParameter(f"{place} may not be written to: it is read-only, or another user's.")
