"""Fetching a repository's files side by side into the library's cache, and verifying each against its digest."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from webinfer.core import package_version
from webinfer.core.errors import IntegrityError
from webinfer.core.progress import Progress, ProgressCallback
from webinfer.models.sources.hub.errors import explain, failures
from webinfer.models.sources.hub.listing import Listing, matches

_AT_ONCE = 8  # files fetched side by side, as many as the library itself does

logger = logging.getLogger("webinfer.models.hub")


def fetch(listing: Listing, names: Iterable[str], progress: ProgressCallback | None) -> None:
    """Bring files of a repository into the cache, unless they are there. A file with other contents is removed.

    Args:
        listing: The repository.
        names: Paths in it.
        progress: Called with the bytes fetched.

    Raises:
        FetchError: A file cannot be fetched.
        IntegrityError: A file came with other contents than the hub says; it was removed.
        StoreError: The cache is full or cannot be written.
    """
    missing = [name for name in names if not _is_here(listing, name)]
    if not missing:
        return
    meter = _Meter(f"fetch {listing.repo}", [listing.files[name].nbytes for name in missing], progress)
    with ThreadPoolExecutor(min(len(missing), _AT_ONCE), "webinfer-hub") as pool:
        tasks = [pool.submit(_bring, listing, name, meter) for name in missing]
        try:
            for task in as_completed(tasks):
                task.result()
        except BaseException:
            # Downloads under way see this at their next bytes. The end of the ``with`` block waits for them.
            meter.stopped = True
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    meter.finish()


def _is_here(listing: Listing, name: str) -> bool:
    path = listing.snapshot / name
    if not path.is_file():
        return False
    if matches(path, listing.files[name].digest):
        return True
    logger.warning("%s is corrupt in the cache, and fetched again.", path)
    _remove(path)
    return False


def _bring(listing: Listing, name: str, meter: _Meter) -> None:
    from huggingface_hub import constants, hf_hub_download

    class Bar(_Bar):  # the library makes its bar from a class, so the meter comes with the class
        total_meter = meter

    try:
        path = Path(
            hf_hub_download(
                listing.repo,
                name,
                revision=listing.commit,
                endpoint=constants.ENDPOINT,
                cache_dir=constants.HF_HUB_CACHE,
                library_name="webinfer",
                library_version=package_version(),
                tqdm_class=Bar,  # has what is called of tqdm, which is untyped
            )
        )
    except failures() as error:
        raise explain(error, listing.repo, listing.commit) from error
    if not matches(path, listing.files[name].digest):
        _remove(path)
        raise IntegrityError(
            f"{name} of {listing.repo!r} came with other contents than its digest says, {listing.files[name].digest}, "
            f"and was removed. Try again; if it happens again, {constants.ENDPOINT} or a proxy on the way is at fault.",
            file=name,
            repo=listing.repo,
            expected=listing.files[name].digest,
            endpoint=constants.ENDPOINT,
        )


def _remove(path: Path) -> None:
    """Remove a file and the contents that its link leads to, which have another digest than their name."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


class _Stopped(Exception):
    """Another file failed, so this download ends. Raised through the library's own code."""


class _Meter:
    """Bytes of several files, reported as one stage."""

    def __init__(self, stage: str, sizes: list[int | None], progress: ProgressCallback | None) -> None:
        self.stopped = False
        self._stage = stage
        self._total = sum(size or 0 for size in sizes) if all(size is not None for size in sizes) else None
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()
        self.add(0)

    def add(self, nbytes: int) -> None:
        if self.stopped:
            raise _Stopped
        with self._lock:  # held during the callback, so that the numbers come in order
            self._done += nbytes
            if self._progress is not None:
                self._progress(Progress(self._stage, self._done, self._total))

    def finish(self) -> None:
        """Report that all is there, also what another process or the cache brought."""
        if self._total is not None and self._done != self._total:
            self.add(self._total - self._done)


class _Bar:
    """The part of tqdm's interface that the library calls, for one file."""

    total_meter: ClassVar[_Meter]

    def __init__(self, *_: Any, initial: int = 0, **__: Any) -> None:
        if initial:
            self.update(initial)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def update(self, nbytes: float | None = 1) -> None:
        """Count bytes written."""
        self.total_meter.add(int(nbytes or 0))

    def update_transfer(self, nbytes: float | None = 1) -> None:
        """Ignore bytes received, which are counted when they are written."""

    def set_postfix_str(self, text: str = "", refresh: bool = True) -> None:
        """Ignore the speed."""

    def set_transfer_postfix_str(self, text: str = "", refresh: bool = True) -> None:
        """Ignore the speed."""

    def close(self) -> None:
        """End."""
