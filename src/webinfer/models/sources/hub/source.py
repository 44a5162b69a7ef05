"""The source ``hf:ORG/NAME[@REVISION][/FILE.onnx]``: which repository, which variant, which files."""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from webinfer.core.errors import FetchError, ModelNotFound
from webinfer.core.progress import ProgressCallback
from webinfer.models.files.package import ModelPackage, describe
from webinfer.models.files.signature import locations
from webinfer.models.files.variants import available, belongings, choose, graphs, parts
from webinfer.models.sources.hub.fetch import fetch
from webinfer.models.sources.hub.listing import CARD, Listing, list_files, remember, repositories

# Who converts others' models to ONNX under the same name, best first.
CONVERSIONS = ("Xenova/{name}", "onnx-community/{name}", "onnx-community/{name}-ONNX")

_MAIN = "main"
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_PLAIN = re.compile(rf"(?P<repo>(?:{_PART}/)?{_PART})(?:@(?P<revision>[^@\s\\]+?))?")
_WHOLE = re.compile(_PLAIN.pattern + r"(?:/(?P<file>[^@\\]+\.onnx))?")
_LONGEST = 96  # characters of a repository's name, by the hub's rules

logger = logging.getLogger("webinfer.models.hub")


@dataclass(frozen=True, slots=True)
class HubReference:
    """A model of the hub, as a reference names it.

    Attributes:
        repo: ``org/name``, or a name alone.
        revision: A branch, tag or commit; ``None`` for the default branch.
        file: An ONNX file in it; ``None`` for the usual one.
    """

    repo: str
    revision: str | None = None
    file: str | None = None

    @classmethod
    def parse(cls, text: str, *, plain: bool = False) -> HubReference | None:
        """Read a reference without its scheme.

        Args:
            text: ``[ORG/]NAME[@REVISION][/FILE.onnx]``.
            plain: Whether it had no scheme. It may be a path then, so a file is not taken.

        Returns:
            The reference, or ``None`` if it cannot name a model of the hub.
        """
        match = (_PLAIN if plain else _WHOLE).fullmatch(text)
        # The hub allows neither ``..`` nor ``--`` in names; its cache writes ``--`` for the slash.
        if match is None or ".." in text or "--" in match["repo"] or len(match["repo"]) > _LONGEST:
            return None
        if match["repo"].endswith(".onnx"):
            return None
        return cls(match["repo"], match["revision"], None if plain else match["file"])


def open_hub(
    name: str,
    reference: str,
    progress: ProgressCallback | None,
    *,
    precision: str | None = None,
    part: str | None = None,
) -> ModelPackage | None:
    """Fetch a model, unless it is in the cache of the hub's library, and open it.

    Args:
        name: The reference without ``hf:``.
        reference: As the caller named it.
        progress: Called with the bytes fetched.
        precision: One of ``variants.PRECISIONS``; ``None`` for full precision.
        part: Which part of a model in several files.

    Returns:
        The model, or ``None`` if the hub has none of that name for this user.

    Raises:
        ModelNotFound: It has no ONNX file, or not in that precision or revision.
        FetchError: The hub refuses, or cannot be reached and the model is not in the cache.
        IntegrityError: A file came with other contents than the hub says.
        StoreError: The cache is full or cannot be written.
    """
    wanted = HubReference.parse(name)
    if wanted is None:
        return None
    choice = _find(wanted, precision, part)
    if choice is None:
        return None
    listing, file = choice
    path = _bring(listing, file, wanted, progress)
    precisions = available(listing.files, wanted.file, part)
    package = describe(path, reference, wanted.repo)
    origin = f"hf:{listing.repo}@{listing.commit}"
    return replace(package, origin=origin, available=tuple(precisions), parts=parts(listing.files))


def where(name: str) -> str:
    """Return the place where a name was looked for, for errors.

    Args:
        name: The name, ``ORG/NAME``.
    """
    from huggingface_hub import constants

    wanted = HubReference.parse(name)
    if wanted is None:
        return f"{name!r} is not [ORG/]NAME[@REVISION][/FILE.onnx]"
    private = "if it is private, log in with 'hf auth login' or set HF_TOKEN"
    return f"{constants.ENDPOINT}/{wanted.repo} (nothing there; {private})"


def names() -> list[str]:
    """Return the names of the models that are in the cache."""
    return list(cached())


def cached() -> dict[str, Path]:
    """Return the ONNX files of the models in the cache, by name."""
    models = {}
    for repo in repositories():
        listing = list_files(repo, _MAIN, offline=True)
        file = choose(listing.files) if listing else None
        if listing and file:
            models[repo] = listing.snapshot / file
    return models


def remove(name: str) -> int:
    """Remove a repository from the cache that the hub's library keeps, with all its revisions.

    Args:
        name: The repository, ``ORG/NAME``.

    Returns:
        Bytes of disk that the library expected to free.
    """
    from huggingface_hub import scan_cache_dir

    cache = scan_cache_dir()
    commits = [
        revision.commit_hash
        for repo in cache.repos
        if repo.repo_type == "model" and repo.repo_id == name
        for revision in repo.revisions
    ]
    strategy = cache.delete_revisions(*commits)
    strategy.execute()
    return int(strategy.expected_freed_size)


def _find(wanted: HubReference, precision: str | None, part: str | None) -> tuple[Listing, str] | None:
    """Return the first repository that has the wanted model, and the ONNX file in it; ``None`` if there is none.

    Raises:
        FetchError: The hub refuses, or cannot be reached and the cache does not have the model.
        ModelNotFound: Repositories of that name have no such file.
    """
    missed: FetchError | None = None
    listings: list[Listing] = []
    for repo in _candidates(wanted):
        try:  # a hub that could not be reached once is not asked again: the cache may have a conversion
            listing = list_files(repo, wanted.revision or _MAIN, offline=missed is not None)
        except FetchError as error:
            if error.data.get("reached", True):
                raise
            missed, listing = error, None
        first = repo == wanted.repo
        if listing is None and first and missed is None and "/" in repo:
            return None  # not there, or not for this user; another owner's model of that name is another model
        if listing is None or not (first or _is_conversion(listing, wanted, listings)):
            continue
        file = choose(listing.files, precision, wanted.file, part)
        if file is not None:
            if not first:
                logger.info("%s is taken from %s", wanted.repo, listing.repo)
            return listing, file
        listings.append(listing)
        missed = missed or _unknown(listing, wanted)
    if missed is not None:
        raise missed
    if listings:
        raise _missing_file(wanted, precision, part, listings)
    return None


def _candidates(wanted: HubReference) -> Iterator[str]:
    yield wanted.repo
    if wanted.revision is None and wanted.file is None:  # a conversion has other revisions and files
        yield from (pattern.format(name=wanted.repo.rpartition("/")[2]) for pattern in CONVERSIONS)


def _is_conversion(listing: Listing, wanted: HubReference, earlier: list[Listing]) -> bool:
    """Return whether a repository was made from the wanted one, and not from another model of the same name."""
    # A renamed repository answers to its old name; conversions may name either.
    originals = {wanted.repo.lower(), *(other.id.lower() for other in earlier if other.repo == wanted.repo)}
    bases = {base.lower() for base in listing.bases}
    if "/" not in wanted.repo:  # without an owner in the name, any owner's model of that name will do
        originals |= {base for base in bases if base.rpartition("/")[2] == wanted.repo.lower()}
        return not bases or bool(originals & bases)
    return bool(originals & bases)


def _unknown(listing: Listing, wanted: HubReference) -> FetchError | None:
    """Return an error for a listing from the cache, which may lack files that the repository has."""
    if not listing.cached:
        return None
    return FetchError(
        f"The hub could not be asked, and what is in the cache of {listing.repo!r} has no "
        f"{wanted.file or 'ONNX model'}: run 'webinfer pull hf:{wanted.repo}' where the hub can be reached.",
        repo=listing.repo,
        reached=False,
    )


def _bring(listing: Listing, file: str, wanted: HubReference, progress: ProgressCallback | None) -> Path:
    needed = [file, *belongings(listing.files, file)]
    if listing.repo != wanted.repo and CARD in listing.files:
        needed.append(CARD)  # names its base, which ``_is_conversion`` needs again where the hub is out of reach
    fetch(listing, needed, progress)
    path = listing.snapshot / file
    # The graph itself says which external data it needs, under names that no convention covers.
    stated = {posixpath.join(posixpath.dirname(file), location) for location in locations(path)}
    fetch(listing, sorted((stated & listing.files.keys()) - set(needed)), progress)
    if not listing.cached:
        remember(listing.repo, wanted.revision or _MAIN, listing.commit)
    return path


def _missing_file(
    wanted: HubReference, precision: str | None, part: str | None, listings: list[Listing]
) -> ModelNotFound:
    data = {"repo": wanted.repo, "looked": [listing.repo for listing in listings]}
    having = [(listing, graphs(listing.files)) for listing in listings if graphs(listing.files)]
    if not having:
        short = wanted.repo.rpartition("/")[2]
        tried = ", ".join(_candidates(wanted))
        return ModelNotFound(
            f"{wanted.repo!r} has no ONNX model, and no conversion of it was found (looked at {tried}). Export it: pip "
            f"install 'optimum-onnx[onnxruntime]', then optimum-cli export onnx --model {wanted.repo} {short}_onnx, "
            f"and load the directory {short}_onnx.",
            **data,
        )
    lines = []
    for listing, files in having:
        precisions = available(listing.files, wanted.file, part)
        lines.append(f"{listing.repo} has {', '.join(precisions if precision and precisions else files)}")
    what = precision or wanted.file or f"{part or 'model'}.onnx"
    example = f"hf:{having[0][0].repo}/{having[0][1][0]}"
    remedy = "Choose one of these" if precision else f"Choose a precision, or name a file: {example!r}"
    return ModelNotFound(f"{wanted.repo!r} has no {what}: {'; '.join(lines)}. {remedy}.", **data)
