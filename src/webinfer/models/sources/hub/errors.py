"""Errors of the hub's library as errors of ours: what failed, and what to do."""

from __future__ import annotations

import errno

from webinfer.core.errors import FetchError, ModelNotFound, StoreError, WebinferError

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}
_LOG_IN = "log in with 'hf auth login' or set HF_TOKEN"


def failures() -> tuple[type[Exception], ...]:
    """Return the types of error that the library raises for reasons outside of this process."""
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    # Which HTTP library it uses, and so the base of all failures to connect, differs between its versions. hf_xet,
    # its transport for large files, raises RuntimeError.
    return (HfHubHTTPError.__bases__[0], EntryNotFoundError, OSError, ValueError, RuntimeError)


def explain(error: Exception, repo: str, revision: str) -> WebinferError:
    """Return our error for one that the library raised.

    Its ``data`` has ``reached``: whether the hub answered at all.

    Args:
        error: What the library raised.
        repo: The repository that was asked for.
        revision: The branch, tag or commit.
    """
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{repo}"
    data = {"repo": repo, "revision": revision, "endpoint": constants.ENDPOINT, "reached": True}
    cause = _innermost(error)
    if isinstance(cause, errors.OfflineModeIsEnabled):
        return _offline(repo, revision, data)
    if isinstance(cause, errors.RevisionNotFoundError):
        return ModelNotFound(
            f"{repo!r} has no revision {revision!r}: {page}/tree/main shows its branches, tags and commits.", **data
        )
    if isinstance(cause, errors.GatedRepoError):
        return FetchError(f"{repo!r} is gated: ask for access at {page}, and {_LOG_IN}.", **data)
    if isinstance(cause, errors.RepositoryNotFoundError):
        return ModelNotFound(f"There is no {repo!r} at {page}; if it is private, {_LOG_IN}.", **data)
    if isinstance(cause, errors.HfHubHTTPError):
        return _refused(cause, repo, page, data)
    if isinstance(cause, OSError) and cause.errno in _DISK:
        return StoreError(
            f"{repo!r} cannot be kept in {constants.HF_HUB_CACHE}: {cause.strerror}. Make room there, or set HF_HOME "
            "to a directory elsewhere.",
            path=constants.HF_HUB_CACHE,
            **data,
        )
    if isinstance(cause, OSError) and "Consistency check failed" in str(cause):
        return FetchError(f"A file of {repo!r} came with the wrong size: {_first_line(cause)} Try again.", **data)
    return FetchError(
        f"The hub at {constants.ENDPOINT} could not be reached for {repo!r} ({_first_line(cause)}). Check the "
        "connection, or name a mirror with HF_ENDPOINT.",
        **data | {"reached": False},
    )


def _offline(repo: str, revision: str, data: dict[str, object]) -> FetchError:
    from huggingface_hub import constants

    return FetchError(
        f"{repo!r} at {revision!r} is not whole in {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE forbids to fetch it: "
        f"unset that, or run 'webinfer pull hf:{repo}' where it is not set.",
        **data | {"reached": False},
    )


def _refused(error: Exception, repo: str, page: str, data: dict[str, object]) -> FetchError:
    """Return the error for an answer that refuses the request."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    reason = getattr(error, "server_message", None) or _first_line(error)
    remedies = {
        401: f"The token was not accepted: {_LOG_IN} again, or unset HF_TOKEN for public models",
        403: f"The token may not read it: ask for access at {page}, or {_LOG_IN} as a user who has it",
        429: f"It limits how much is asked: wait and try again, or {_LOG_IN}, which allows more",
    }
    remedy = remedies.get(status or 0, "Try again later, or name a mirror with HF_ENDPOINT")
    down = status is not None and status >= 500
    return FetchError(
        f"The hub at {data['endpoint']} answered {status} for {repo!r} ({reason}). {remedy}.",
        **data | {"status": status, "reached": not down},
    )


def _innermost(error: BaseException) -> BaseException:
    """Return the cause below the library's errors that only say that a file is not in the cache."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    while isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
