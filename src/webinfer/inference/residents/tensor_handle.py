"""Outputs that stay in the browser, for other runs to take as inputs."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import DeadlineExceeded, HandleLost, LostError
from webinfer.core.placement import LaneId
from webinfer.pool.pool import Pool


class AsyncTensorHandle:
    """An output that stays on the lane that computed it. Made by ``AsyncModel.run`` with ``keep``.

    Another run on the same accelerator takes it as an input, and then it does not cross to Python and back. The tensor
    is freed once nothing in Python refers to its handle any more, or by ``close``.

    Args:
        pool: The pool whose lane holds it.
        lane: That lane's id.
        key: What the lane calls it.
        name: The output's name.
        model: Name of the model that computed it.
        dtype: Its type.
        shape: Its shape.

    Attributes:
        name: The output's name.
        model: Name of the model that computed it.
        dtype: Its type.
        shape: Its shape.
        lane: The lane that holds it, such as ``b1.1``.
    """

    def __init__(
        self,
        pool: Pool,
        lane: LaneId,
        key: str,
        *,
        name: str,
        model: str,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
    ) -> None:
        self.name = name
        self.model = model
        self.dtype = dtype
        self.shape = shape
        self.lane = str(lane)
        self.place, self.key, self.pool = lane, key, pool  # for runs that take it
        self._release = weakref.finalize(self, _free_from_any_thread, pool, asyncio.get_running_loop(), lane, key)
        self._release.atexit = False  # the browser ends then, and the tensor with it

    @property
    def nbytes(self) -> int:
        """Size of the tensor's data, in bytes."""
        return self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))

    @property
    def closed(self) -> bool:
        """Whether the tensor was freed by ``close``."""
        return not self._release.alive

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"on {self.lane}"
        return f"<{type(self).__name__} {self.name} of {self.model} {self.dtype}{list(self.shape)} {state}>"

    def check(self) -> None:
        """Refuse a handle whose tensor is gone.

        Raises:
            HandleLost: It was closed, or its lane is gone.
        """
        if self.closed:
            raise HandleLost(f"The handle of {self.name!r} was closed: run {self.model} again.", lane=self.lane)
        if self.place not in self.pool.lanes:
            raise HandleLost(
                f"Lane {self.lane} is gone, and {self.name!r} of {self.model} with it: run {self.model} again.",
                lane=self.lane,
            )

    async def read(self, timeout: float | None = None) -> NDArray[Any]:
        """Return the tensor's values. It stays in the browser.

        Args:
            timeout: Seconds until ``DeadlineExceeded``; ``None`` takes the option ``run_timeout``.

        Returns:
            An array of ``dtype`` and ``shape``.

        Raises:
            HandleLost: The tensor is gone, or its lane was lost meanwhile.
            DeadlineExceeded: It took longer.
            WebinferError: As the lane reported it.
        """
        self.check()
        limit = self.pool.options.run_timeout if timeout is None else timeout
        try:
            return await self.pool.lanes[self.place].read(self.key, limit)
        except TimeoutError:
            raise DeadlineExceeded(f"Reading {self!r} took over {limit:g} s: raise timeout.", timeout=limit) from None
        except LostError as error:
            raise HandleLost(f"{error} {self.name!r} of {self.model} was there: run {self.model} again.") from error

    def close(self) -> None:
        """Free the tensor, if that has not happened yet."""
        self._release()


def _free_from_any_thread(pool: Pool, loop: asyncio.AbstractEventLoop, lane: LaneId, key: str) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed, and so are the browsers
        loop.call_soon_threadsafe(pool.free, lane, [key])
