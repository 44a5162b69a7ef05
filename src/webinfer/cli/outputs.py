"""Files to write: looked at before the work whose outcome they are for."""

from __future__ import annotations

from pathlib import Path

import typer


def writable(path: Path | None) -> Path | None:
    """Refuse a file that cannot be written to, as the callback of an option.

    Raises:
        typer.BadParameter: It is a directory, or in none.
    """
    if path is not None and path.is_dir():
        raise typer.BadParameter(f"{path} is a directory: name a file in it.")
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no directory {path.absolute().parent} to write {path.name} to.")
    return path
