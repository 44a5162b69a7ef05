"""Mappings of things that come and go, so that a process that runs for months does not grow."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import MutableMapping
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")

LATE = 64
"""Lanes or browsers that end after one before that is forgotten: answers of it may still be on their way."""


class LruMap(OrderedDict[K, V]):
    """A mapping with a limit: the entry that was set or used longest ago makes room for a new one.

    Args:
        limit: Entries that it holds at most.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def put(self, key: K, value: V) -> V:
        """Return the value of an entry that is set by this.

        Args:
            key: The key.
            value: The value.
        """
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._limit:
            self.popitem(last=False)
        return value

    def use(self, key: K) -> V | None:
        """Return an entry's value, if there is one; it counts as used.

        Args:
            key: The key.
        """
        value = self.get(key)
        if value is not None:
            self.move_to_end(key)
        return value


class Ended:
    """Lanes or browsers that ended lately. What is known of one goes when ``LATE`` others have ended after it.

    Args:
        known: What is known of them, by id.
    """

    def __init__(self, known: MutableMapping[str, Any] | MutableMapping[str | None, Any]) -> None:
        self._known = known
        self._ids: deque[str] = deque()

    def __repr__(self) -> str:
        return f"<Ended {len(self._ids)} of {len(self._known)}>"

    def add(self, id: str) -> None:
        """Note that one ended.

        Args:
            id: Its id.
        """
        self._ids.append(id)
        if len(self._ids) > LATE:
            self._known.pop(self._ids.popleft(), None)
