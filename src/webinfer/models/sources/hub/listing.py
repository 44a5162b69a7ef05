"""The files of a repository: as the hub lists them, or else as far as its library's cache knows."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from webinfer.core import package_version
from webinfer.core.cache import hash_file
from webinfer.core.errors import FetchError
from webinfer.core.json import write_text
from webinfer.models.sources.hub.errors import explain, failures

CARD = "README.md"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # a git blob's SHA-1, or SHA-256 for what git LFS keeps
_RETRIES = 3  # of an answer that says "later": 7 seconds in all, unless the hub says how long

logger = logging.getLogger("webinfer.models.hub")


@dataclass(frozen=True, slots=True)
class HubFile:
    """What the hub states of a file.

    Attributes:
        nbytes: Its size; ``None`` where a mirror does not state it.
        digest: SHA-256, or for a small file its SHA-1 as a git blob, in hexadecimal; ``None`` where it is not stated.
    """

    nbytes: int | None
    digest: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit.

    Attributes:
        repo: As it was asked for, and so as the cache knows it.
        id: As the hub calls it now.
        commit: The commit.
        files: Its files by path; for a listing from the cache, those that are in it.
        bases: Models that its card and tags name as its base.
        cached: Whether the listing comes from the cache: the hub was not asked or did not answer.
    """

    repo: str
    id: str
    commit: str
    files: Mapping[str, HubFile]
    bases: tuple[str, ...]
    cached: bool

    @property
    def snapshot(self) -> Path:
        """The directory of its files, once they are fetched."""
        return _folder(self.repo) / "snapshots" / self.commit


def list_files(repo: str, revision: str, *, offline: bool = False) -> Listing | None:
    """List a repository's files.

    Args:
        repo: ``org/name``, or a name alone.
        revision: A branch, tag or commit.
        offline: Do not ask the hub.

    Returns:
        The listing, or ``None`` if there is no such repository for this user.

    Raises:
        ModelNotFound: It has no such revision.
        FetchError: The hub refuses; or it cannot be reached (``reached`` in ``data`` is false), and the cache has
            nothing of the repository.
    """
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    fallback = _cached(repo, revision)
    if offline:
        return fallback
    try:
        return _ask(repo, revision, retries=0 if fallback else _RETRIES)
    except failures() as error:
        if isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError):
            return None
        failure = explain(error, repo, revision)
        if fallback is None or failure.data["reached"]:
            raise failure from error
        if not isinstance(error, OfflineModeIsEnabled):
            logger.warning("%s What is in the cache is used.", failure)
        return fallback


def remember(repo: str, revision: str, commit: str) -> None:
    """Note in the library's cache which commit a branch or tag was at, for when the hub cannot be asked.

    Args:
        repo: The repository, ``ORG/NAME``.
        revision: The branch or tag.
        commit: Hash of the commit.
    """
    if revision == commit:
        return
    note = _folder(repo) / "refs" / revision
    try:
        if note.is_file() and note.read_text(encoding="utf-8") == commit:
            return
        write_text(note, commit)
    except OSError as error:  # a cache that may only be read
        logger.debug("%s cannot be written: %s", note, error)


def repositories() -> Iterator[str]:
    """Yield the repositories of models in the library's cache."""
    from huggingface_hub import constants

    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*")):
        yield folder.name.removeprefix("models--").replace("--", "/")


def matches(path: Path, digest: str | None) -> bool:
    """Return whether a file has the digest that the hub states. A file whose digest is unknown matches.

    Args:
        path: The file.
        digest: Its SHA-256 or git hash in hex, as the hub gives it; ``None`` where it gives none.
    """
    if digest is None:
        digest = _named_digest(path)
    if digest is None:
        return True
    if len(digest) == 64:
        return hash_file(path) == digest
    contents = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(contents) + contents, usedforsecurity=False).hexdigest() == digest


def _ask(repo: str, revision: str, retries: int) -> Listing:
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

    response = http_backoff(
        "GET",
        f"{constants.ENDPOINT}/api/models/{repo}/revision/{quote(revision, safe='')}",
        params={"blobs": True},
        headers=build_hf_headers(library_name="webinfer", library_version=package_version()),
        timeout=constants.HF_HUB_ETAG_TIMEOUT,
        max_retries=retries,
        retry_on_exceptions=(),  # a hub that is not there will not be there in a second
    )
    hf_raise_for_status(response)
    try:
        return _read(repo, response.json())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FetchError(
            f"What {constants.ENDPOINT} answered for {repo!r} is not the hub's list of files: HF_ENDPOINT must name a "
            "hub or a mirror of it.",
            repo=repo,
            endpoint=constants.ENDPOINT,
        ) from error


def _read(repo: str, answer: dict[str, Any]) -> Listing:
    files = {}
    for entry in answer["siblings"]:
        large = entry.get("lfs") or {}
        digest = large.get("sha256") or entry.get("blobId")
        known = digest if isinstance(digest, str) and _DIGEST.fullmatch(digest) else None
        files[str(entry["rfilename"])] = HubFile(large.get("size", entry.get("size")), known)
    commit = answer["sha"]
    if not _COMMIT.fullmatch(commit):
        raise ValueError(commit)
    # Tags name bases too: ``base_model:quantized:ORG/NAME``.
    tags = [str(tag).split(":") for tag in answer.get("tags") or []]
    bases = [
        *_names((answer.get("cardData") or {}).get("base_model")),
        *(tag[-1] for tag in tags if tag[0] == "base_model"),
    ]
    return Listing(repo, str(answer.get("id") or repo), commit, files, tuple(bases), cached=False)


def _cached(repo: str, revision: str) -> Listing | None:
    try:
        return _look_up(repo, revision)
    except (OSError, ValueError) as error:  # a cache that cannot be read, or was written by something else
        logger.debug("The cache of %s cannot be read: %s", repo, error)
        return None


def _look_up(repo: str, revision: str) -> Listing | None:
    folder = _folder(repo)
    note = folder / "refs" / revision
    commit = revision if _COMMIT.fullmatch(revision) else note.read_text(encoding="utf-8") if note.is_file() else ""
    snapshot = folder / "snapshots" / commit
    if not _COMMIT.fullmatch(commit) or not snapshot.is_dir():
        return None
    files = {
        path.relative_to(snapshot).as_posix(): HubFile(path.stat().st_size, _named_digest(path))
        for path in snapshot.rglob("*")
        if path.is_file()
    }
    return Listing(repo, repo, commit, files, _bases(snapshot / CARD), cached=True)


def _bases(card: Path) -> tuple[str, ...]:
    from huggingface_hub import ModelCard

    if not card.is_file():
        return ()
    try:
        return tuple(_names(ModelCard.load(card).data.get("base_model")))
    except (OSError, ValueError):
        return ()


def _names(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(name) for name in value] if isinstance(value, list) else []


def _named_digest(path: Path) -> str | None:
    """Return the digest in the name of the contents that a file links to, where the library stores them so."""
    name = path.resolve().name
    return name if _DIGEST.fullmatch(name) else None


def _folder(repo: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
