"""What belongs to the process that it was made in."""

from __future__ import annotations

from typing import NoReturn


class ProcessBound:
    """What holds sockets, threads or browsers of its process, and so is neither pickled nor copied."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            f"{type(self).__name__} is bound to the browsers that this process drives, and can be neither pickled nor "
            "copied: make an accelerator in each process, and pass on the model's name and the inputs."
        )
