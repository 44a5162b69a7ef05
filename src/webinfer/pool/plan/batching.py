"""Dynamic batching: which waiting requests run together, and how long one waits for others.

Only requests of one row and of the same shapes are run together, so nothing is padded for a neighbour's sake: what
padding there is was exact before (``plan.buckets``).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from webinfer.core.options import Backend
from webinfer.pool.plan.assignment import SessionKey

SHARE = 0.1
"""The part of a run's time that a request may wait for others: it costs that part at most and may save whole runs."""

Sizes = Literal["any", "powers", "full"]
Arrays = Mapping[str, NDArray[Any]]


@dataclass(slots=True, eq=False)
class Batching:
    """How a model's requests run together, and what its last batch says about the load.

    Attributes:
        limit: Requests in a batch at most.
        patience: Seconds that a request may wait for others while a lane is free, at most.
        sizes: Sizes that a batch may have: ``any``, ``powers`` of two, or only the ``full`` one, besides 1.
        last: Size of the last batch.
        run: Seconds that it ran.
        ended: When it ended.
    """

    limit: int
    patience: float
    sizes: Sizes = "any"
    last: int = 1
    run: float = 0.0
    ended: float = float("-inf")

    @classmethod
    def on(cls, backend: Backend, limit: int, patience: float) -> Batching:
        """Return how requests run together: WebNN needs a session for each size, WebGPU compiles for it.

        Args:
            backend: Where the model runs.
            limit: Requests in a batch at most.
            patience: Seconds that a request may wait for others, at most.
        """
        if backend == "wasm":
            return cls(limit, patience)
        # The largest power of two within the limit: the sizes that shapes are padded to (``buckets``).
        return cls(1 << (limit.bit_length() - 1), patience, "full" if backend == "webnn" else "powers")

    def size(self, requests: int) -> int:
        """Return how many of so many requests leave together.

        Args:
            requests: How many wait that may run together.
        """
        most = min(requests, self.limit)
        return 1 << (most.bit_length() - 1) if self.sizes == "powers" else most

    def end(self) -> None:
        """Have each request run alone from now on: no session for batches can be had."""
        self.limit = 1

    def rows(self, size: int) -> int:
        """Return the rows that a batch of this size has in the browser, where a session takes no other number.

        Args:
            size: Requests in the batch.
        """
        return self.limit if self.sizes == "full" else size

    def delay(self, waiting: int, oldest: float, now: float) -> float:
        """Return the seconds to wait for more requests while a lane is free; 0 where there is nothing to wait for.

        The callers of a batch come back at once when it ends, so as many are expected as it held. Whoever is alone is
        never kept waiting: not after a batch of one, nor once a batch's own time has passed since it ended.

        Args:
            waiting: Requests of the model that wait.
            oldest: When the first of them was asked for.
            now: The time, on the same clock.
        """
        if waiting >= self.last or now - self.ended > self.run:
            return 0.0
        return max(0.0, oldest + min(self.patience, SHARE * self.run) - now)

    def ran(self, size: int, seconds: float, now: float) -> None:
        """Take note of a batch that ended.

        Args:
            size: Requests that it held.
            seconds: How long it ran.
            now: The time, on the caller's clock.
        """
        self.last, self.run, self.ended = size, seconds, now


class BatchGroup(NamedTuple):
    """Which requests one may run with.

    Attributes:
        batching: Its model's.
        group: Equal for requests that may run together.
        alone: The session that runs one of them.
        key: The session that runs several: another one, where shapes are fixed.
    """

    batching: Batching
    group: Hashable
    alone: SessionKey
    key: SessionKey


def group(tensors: Arrays, outputs: Sequence[str] | None) -> Hashable | None:
    """Return what a request must have in common with those it runs with; ``None`` for one that runs alone.

    Args:
        tensors: A request's inputs, by name.
        outputs: Names of the outputs asked for; ``None`` for all.
    """
    shapes = tuple(array.shape for array in tensors.values())
    if not all(shape and shape[0] == 1 for shape in shapes):
        return None
    return shapes, None if outputs is None else tuple(outputs)


def merge(many: Sequence[Arrays], rows: int) -> dict[str, NDArray[Any]]:
    """Put the inputs of requests of one row into one array for each input; missing rows repeat the last request.

    Args:
        many: Each request's arrays.
        rows: Rows of the arrays returned.

    Returns:
        Inputs by name, of ``rows`` rows.
    """
    padded = [*many, *[many[-1]] * (rows - len(many))]
    return {name: np.concatenate([arrays[name] for arrays in padded]) for name in many[0]}


def split(tensors: Arrays, count: int) -> list[dict[str, NDArray[Any]]]:
    """Give each of the first ``count`` requests its own row, as an array of its own.

    Args:
        tensors: Arrays of a batch, by name; rows are their first dimension.
        count: Rows to return.

    Returns:
        The outputs of each request, by name.
    """
    # Copies: a view would hold the outputs of all others in memory for as long as one caller keeps its own.
    return [{name: array[row : row + 1].copy() for name, array in tensors.items()} for row in range(count)]
