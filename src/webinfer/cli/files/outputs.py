"""Files and directories to write. They are checked before the work starts."""

from __future__ import annotations

import os
from pathlib import Path

import typer


def writable(path: Path | None) -> Path | None:
    """Return a file's path, unless it cannot be written. It is the callback of an option.

    Args:
        path: The option's value.

    Raises:
        typer.BadParameter: It is a directory, its directory does not exist, or it cannot be written.
    """
    if path is not None and path.is_dir():
        raise typer.BadParameter(f"{path} is a directory: name a file in it.")
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"the directory {path.absolute().parent} of {path.name} does not exist.")
    if path is not None:
        _refuse_locked(path if path.exists() else path.absolute().parent)
    return path


def fillable(path: Path | None) -> Path | None:
    """Return a directory's path, unless it cannot be made or written to. It is the callback of an option.

    Args:
        path: The option's value.

    Raises:
        typer.BadParameter: It is a file, lies in a file, or cannot be written to.
    """
    if path is not None:
        # The directory may be missing: then the closest one above it that exists must be writable.
        existing = next(place for place in (path.absolute(), *path.absolute().parents) if os.path.lexists(place))
        if not existing.is_dir():
            raise typer.BadParameter(f"{existing} is not a directory.")
        _refuse_locked(existing)
    return path


def _refuse_locked(place: Path) -> None:
    if not os.access(place, os.W_OK):
        raise typer.BadParameter(f"{place} cannot be written to: it is read-only, or another user's.")
