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
    """What of the hub is meant.

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
            plain: It had no scheme, so it may be a path as well: files are not taken.

        Returns:
            The reference, or ``None`` if it cannot name a model of the hub.
        """
        found = (_PLAIN if plain else _WHOLE).fullmatch(text)
        if found is None or ".." in text or "--" in found["repo"] or len(found["repo"]) > _LONGEST:
            return None
        if found["repo"].endswith(".onnx"):
            return None
        return cls(found["repo"], found["revision"], None if plain else found["file"])


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
        progress: Told of the bytes fetched.
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
    found = _find(wanted, precision, part)
    if found is None:
        return None
    listing, file = found
    path = _bring(listing, file, wanted, progress)
    there = available(listing.files, wanted.file, part)
    package = describe(path, reference, wanted.repo)
    origin = f"hf:{listing.repo}@{listing.commit}"
    return replace(package, origin=origin, available=tuple(there), parts=parts(listing.files))


def looked(name: str) -> str:
    """Return where a name was looked for.

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
    found = {}
    for repo in repositories():
        listing = list_files(repo, _MAIN, offline=True)
        file = choose(listing.files) if listing else None
        if listing and file:
            found[repo] = listing.snapshot / file
    return found


def remove(name: str) -> int:
    """Remove a repository from the cache that the hub's library keeps, with all its revisions.

    Args:
        name: The repository, ``ORG/NAME``.

    Returns:
        The bytes freed.
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
    """Return the first repository that has what is wanted, and the ONNX file in it."""
    missed: FetchError | None = None
    seen: list[Listing] = []
    for repo in _candidates(wanted):
        try:
            listing = list_files(repo, wanted.revision or _MAIN, offline=missed is not None)
        except FetchError as error:
            if error.data.get("reached", True):
                raise
            missed, listing = error, None
        first = repo == wanted.repo
        if listing is None and first and missed is None and "/" in repo:
            return None  # not there, or not for this user: somebody else's model of that name is another model
        if listing is None or not (first or _is_conversion(listing, wanted, seen)):
            continue
        file = choose(listing.files, precision, wanted.file, part)
        if file is not None:
            if not first:
                logger.info("%s is taken from %s", wanted.repo, listing.repo)
            return listing, file
        seen.append(listing)
        missed = missed or _unknown(listing, wanted)
    if missed is not None:
        raise missed
    if seen:
        raise _lacking(wanted, precision, part, seen)
    return None


def _candidates(wanted: HubReference) -> Iterator[str]:
    yield wanted.repo
    if wanted.revision is None and wanted.file is None:  # which are the original's own
        yield from (pattern.format(name=wanted.repo.rpartition("/")[2]) for pattern in CONVERSIONS)


def _is_conversion(listing: Listing, wanted: HubReference, seen: list[Listing]) -> bool:
    """Return whether a repository was made from the wanted one. The same name may be that of another's fine-tuning."""
    originals = {wanted.repo.lower(), *(one.id.lower() for one in seen if one.repo == wanted.repo)}
    bases = {base.lower() for base in listing.bases}
    if "/" not in wanted.repo:  # no owner was named, so nobody's is meant in particular
        originals |= {base for base in bases if base.rpartition("/")[2] == wanted.repo.lower()}
        return not bases or bool(originals & bases)
    return bool(originals & bases)


def _unknown(listing: Listing, wanted: HubReference) -> FetchError | None:
    """Return an error if it cannot be known whether a repository has what is wanted: the cache has a part of it."""
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
        needed.append(CARD)  # says what it was made from, which is asked again without the hub
    fetch(listing, needed, progress)
    path = listing.snapshot / file
    stated = {posixpath.join(posixpath.dirname(file), location) for location in locations(path)}
    fetch(listing, sorted((stated & listing.files.keys()) - set(needed)), progress)
    if not listing.cached:
        remember(listing.repo, wanted.revision or _MAIN, listing.commit)
    return path


def _lacking(wanted: HubReference, precision: str | None, part: str | None, seen: list[Listing]) -> ModelNotFound:
    data = {"repo": wanted.repo, "looked": [listing.repo for listing in seen]}
    having = [(listing, graphs(listing.files)) for listing in seen if graphs(listing.files)]
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
        there = available(listing.files, wanted.file, part)
        lines.append(f"{listing.repo} has {', '.join(there if precision and there else files)}")
    what = precision or wanted.file or f"{part or 'model'}.onnx"
    example = f"hf:{having[0][0].repo}/{having[0][1][0]}"
    remedy = "Choose one of these" if precision else f"Choose a precision, or name a file: {example!r}"
    return ModelNotFound(f"{wanted.repo!r} has no {what}: {'; '.join(lines)}. {remedy}.", **data)
