"""The base of every error, and the class of each code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar


class WebinferError(Exception):
    """Base of every error of this package."""

    code: ClassVar[str] = "webinfer"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", /, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data

    def __str__(self) -> str:
        return self.message or self.code

    @property
    def summary(self) -> str:
        """The first sentence of the message, without its full stop."""
        return str(self).splitlines()[0].split(". ")[0].rstrip(".")

    def to_dict(self) -> dict[str, Any]:
        """Return the error as it crosses the wire and as ``--json`` prints it."""
        return {
            "code": self.code,
            "message": str(self),
            "retryable": self.retryable,
            **({"data": self.data} if self.data else {}),
        }


def class_of(code: str) -> type[WebinferError] | None:
    """Return the class of a code; ``None`` for a code that this version does not know.

    Args:
        code: The code, such as ``lost.lane``.
    """
    return {cls.code: cls for cls in _classes(WebinferError)}.get(code)


def _classes(base: type[WebinferError]) -> Iterator[type[WebinferError]]:
    yield base
    for child in base.__subclasses__():
        yield from _classes(child)
