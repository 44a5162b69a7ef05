"""What belongs to the process that it was made in, and is closed at the end of a ``with`` block."""

from __future__ import annotations

from types import TracebackType
from typing import NoReturn, Self


class ProcessBound:
    """What holds sockets, threads or browsers of its process, and so is neither pickled nor copied."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse.

        Args:
            protocol: Ignored.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            f"{type(self).__name__} is bound to the browsers that this process drives, and can be neither pickled nor "
            "copied: make an accelerator in each process, and pass on the model's name and the inputs."
        )


class AsyncResource(ProcessBound):
    """What is closed at the end of an ``async with`` block."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give back what it holds."""
        raise NotImplementedError


class Resource(ProcessBound):
    """What is closed at the end of a ``with`` block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back what it holds."""
        raise NotImplementedError
