"""How many lanes a browser has, and how many threads a lane."""

from __future__ import annotations

import os
from dataclasses import dataclass

from webinfer.browsers.browser import Browser
from webinfer.core.options import Options
from webinfer.pool.plan.assignment import LaneState


@dataclass(frozen=True, slots=True)
class Size:
    """How many lanes a browser has, and how many WebAssembly threads each; ``None`` shares the cores out."""

    lanes: int
    threads: int | None


class Sizes:
    """The size of each browser: that of the options, or the one that a contest found to be best.

    Args:
        options: Options of the accelerator.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._tuned: dict[str, Size] = {}  # by the browser's name

    def __repr__(self) -> str:
        return f"<Sizes {self._tuned}>"

    def of(self, name: str) -> Size:
        """Return a browser's size.

        Args:
            name: The browser's name.
        """
        return self._tuned.get(name) or Size(self._options.lanes, self._options.threads)

    def raise_to(self, name: str, lanes: int, threads: int | None) -> Size:
        """Set a browser's size; a number of lanes that was asked for before is not lowered.

        Args:
            name: The browser's name.
            lanes: Its lanes.
            threads: WebAssembly threads of each; the option ``threads`` goes before it.

        Returns:
            The size that it has now.
        """
        size = self._tuned[name] = Size(max(lanes, self.of(name).lanes), self._options.threads or threads)
        return size

    def threads(self, browser: Browser) -> int:
        """Return the threads that a lane of a browser gets: the cores, shared out among its lanes.

        Args:
            browser: The browser.
        """
        size = self.of(browser.name)
        # A browser may report fewer cores than there are, to hide them, and this process may be bound to fewer.
        cores = os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
        return size.threads or max(1, min(browser.capabilities.cores, cores or 1) // size.lanes)


def is_spare(state: LaneState) -> bool:
    """Return whether a lane holds nothing and does nothing.

    Args:
        state: What the scheduler knows of the lane.
    """
    return not (state.loaded or state.loading or state.running)
