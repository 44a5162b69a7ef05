"""An event loop in a thread, and the way to it from any other thread."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from webinfer.core.errors import PoolClosed, WrongLoop

T = TypeVar("T")


class Portal:
    """An event loop in a thread, and the way into it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._last: asyncio.Task[None] | None = None  # a reference, because the loop holds tasks only weakly
        self._thread = threading.Thread(target=self._live, name="webinfer", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Portal {'closed' if self._loop.is_closed() else 'open'}>"

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns, run on the loop. Ctrl-C cancels it.

        Args:
            work: The coroutine.

        Raises:
            PoolClosed: The loop has ended.
            WrongLoop: The caller is a callback on the loop's own thread.
        """
        if threading.current_thread() is self._thread:  # to wait here would stop the loop that has to do the work
            work.close()
            raise WrongLoop("A callback on webinfer's own thread must not wait: use submit, or another thread.")
        future = self.start(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Return the future of a coroutine that starts on the loop. Cancelling the future cancels the coroutine.

        Args:
            work: The coroutine.

        Raises:
            PoolClosed: The loop has ended.
        """
        if not self._thread.is_alive():
            work.close()
            raise PoolClosed("The accelerator is closed, or another process made it: make a new one.")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def abandon(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a last coroutine and end the thread, without waiting for either.

        Args:
            work: The coroutine.
        """
        _abandoned.add(self)
        try:
            self._loop.call_soon_threadsafe(self._finish, work)
        except RuntimeError:  # the loop has ended already
            work.close()
            _abandoned.discard(self)

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join()

    def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        self._last = self._loop.create_task(work)
        self._last.add_done_callback(lambda _: self._loop.stop())

    def _live(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        _abandoned.discard(self)


_abandoned: set[Portal] = set()  # portals of forgotten accelerators, until their threads have ended


# atexit runs last what was registered first, and weakref.finalize registers itself with the first finalizer. So this
# runs after all finalizers, and waits until the browsers that they end are gone.
@atexit.register
def _join_abandoned() -> None:
    for portal in tuple(_abandoned):
        portal.join()
