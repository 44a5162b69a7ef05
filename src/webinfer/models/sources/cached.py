"""Models that were fetched or built: their places, their sizes, and how to remove them."""

from __future__ import annotations

import shutil
from pathlib import Path

from webinfer.core.cache import cache_dir
from webinfer.core.errors import ModelNotFound, StoreError
from webinfer.models.files import directory
from webinfer.models.files.package import ORIGIN
from webinfer.models.sources import hub
from webinfer.models.sources.ipfs import source as ipfs
from webinfer.models.sources.resolve import listed

_HUB = "hf:"


def here(references: list[str]) -> dict[str, Path]:
    """Return the places of the models in all caches, by reference.

    Args:
        references: Those that can be listed.
    """
    hubs = {f"{_HUB}{name}": path for name, path in hub.cached().items()}
    return prepared(references) | hubs | ipfs.fetched()


def prepared(references: list[str]) -> dict[str, Path]:
    """Return the directories of the models that were built or fetched into the cache, by reference.

    Args:
        references: Models that can be listed.
    """
    ready = {}
    # One name may begin another: for ``NAME-2-VERSION`` the longest name that fits is the right one, so it comes last.
    for reference in sorted(references, key=len):
        scheme, _, name = reference.partition(":")
        for note in cache_dir().glob(f"models/{scheme}/{name}-*/{ORIGIN}"):
            ready[note.parent] = reference
    return {reference: place for place, reference in ready.items()}


def weigh(place: Path) -> int:
    """Return the bytes that the files in a directory take.

    Args:
        place: The directory.
    """
    return sum(path.lstat().st_size for path in place.rglob("*") if not path.is_dir())


def remove(reference: str) -> int:
    """Remove a model from its cache.

    Args:
        reference: As ``here`` has it.

    Returns:
        Bytes of disk that it took.

    Raises:
        ModelNotFound: It is in no cache, or it is a file of the user's own, which stays.
        StoreError: It cannot be removed.
    """
    if reference in directory.names() or Path(reference).expanduser().exists():
        raise ModelNotFound(
            f"{reference!r} is a file of your own, in no cache: remove it yourself.", reference=reference
        )
    places = here(listed())
    reference = next((known for known in (reference, f"{_HUB}{reference}") if known in places), reference)
    if reference not in places:
        ready = ", ".join(places) or "nothing"
        raise ModelNotFound(f"{reference!r} is in no cache. There is: {ready}.", reference=reference)
    try:
        if reference.startswith(_HUB):
            return hub.remove(reference.removeprefix(_HUB))
        return _remove(places[reference]) + (ipfs.forget(places[reference].name) if ipfs.is_own(reference) else 0)
    except OSError as error:
        raise StoreError(f"{reference} could not be removed: {error}.", reference=reference) from error


def _remove(place: Path) -> int:
    freed = weigh(place)
    shutil.rmtree(place)
    return freed
