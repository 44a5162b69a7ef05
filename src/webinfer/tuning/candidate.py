"""The candidates of a contest: every way to run a model that the caller allows and the machine can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import msgspec

from webinfer.core.errors import OptionError
from webinfer.core.options import BACKENDS, Backend

Obstacle = Callable[["Candidate"], str | None]  # says why a candidate cannot run; None where it may

_MOST = {"lanes": 256, "threads": 1024, "batch_size": 1024}
"""More than machines have today, and few enough that a contest may ask for them at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to run a model.

    Attributes:
        browser: The browser's name.
        backend: The backend.
        precision: Precision of the weights.
        lanes: Lanes of the browser.
        threads: WebAssembly threads of a lane; ``None`` shares the cores out among the lanes.
        batch_size: Requests that run together at most.
        workgroup: Workgroup of the shader that makes audio features, ``256x1x1``; ``None`` makes them on the CPU.
    """

    browser: str
    backend: Backend
    precision: str
    lanes: int = 1
    threads: int | None = None
    batch_size: int = 1
    workgroup: str | None = None

    def __post_init__(self) -> None:
        # A stored result may be damaged, or somebody else's: nobody shall start a million lanes because of one.
        for name, most in _MOST.items():
            number = getattr(self, name)
            if number is not None and not 1 <= number <= most:
                raise OptionError(f"{name} must be from 1 to {most}, not {number}.", option=name)

    def __str__(self) -> str:
        parts = [f"{self.backend} in {self.browser}", self.precision]
        if self.lanes > 1:
            parts.append(f"{self.lanes} lanes")
        if self.threads is not None:
            parts.append("1 thread" if self.threads == 1 else f"{self.threads} threads")
        if self.batch_size > 1:
            parts.append(f"batches of {self.batch_size}")
        if self.workgroup is not None:
            parts.append(f"workgroups of {self.workgroup}")
        return ", ".join(parts)

    @property
    def demand(self) -> int:
        """Requests at once that keep it busy."""
        return self.lanes * self.batch_size

    @property
    def place(self) -> tuple[str, Backend, str]:
        """Where it runs, and in which precision."""
        return self.browser, self.backend, self.precision

    def to_dict(self) -> dict[str, Any]:
        """Return the candidate as values of JSON."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What the caller allows; the candidates are its combinations. The order is the order of preference.

    Attributes:
        browsers: Names of browsers.
        backends: Backends.
        precisions: Precisions of the weights.
        lanes: Numbers of lanes.
        threads: Numbers of WebAssembly threads; ``None`` shares the cores out.
        batch_sizes: Sizes of batches.
        workgroups: Workgroups of the audio shader, for WebGPU; empty for a model without audio features.
    """

    browsers: tuple[str, ...]
    backends: tuple[Backend, ...] = BACKENDS
    precisions: tuple[str, ...] = ("fp32",)
    lanes: tuple[int, ...] = (1,)
    threads: tuple[int | None, ...] = (None,)
    batch_sizes: tuple[int, ...] = (1,)
    workgroups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("browsers", "backends", "precisions", "lanes", "threads", "batch_sizes"):
            if not getattr(self, name):
                raise OptionError(f"{name} must name at least one, or be None.", option=name)
        for name in ("lanes", "threads", "batch_sizes"):
            for number in getattr(self, name):
                if number is not None and number < 1:
                    raise OptionError(f"{name} must be 1 or more, not {number}.", option=name)
        for backend in self.backends:
            if backend not in BACKENDS:
                raise OptionError(
                    f"platforms must be among {', '.join(BACKENDS)}, not {backend!r}.", option="platforms"
                )

    def combinations(self) -> list[Candidate]:
        """Return every combination once, in order of preference.

        Threads are WebAssembly's and workgroups are WebGPU's: other backends have one candidate for all of them.
        """
        unique: dict[Candidate, None] = {}
        for browser, precision, backend, lanes, threads, size, workgroup in product(
            self.browsers,
            self.precisions,
            self.backends,
            self.lanes,
            self.threads,
            self.batch_sizes,
            (None, *self.workgroups),
        ):
            candidate = Candidate(
                browser=browser,
                backend=backend,
                precision=precision,
                lanes=lanes,
                threads=threads if backend == "wasm" else None,
                batch_size=size,
                workgroup=workgroup if backend == "webgpu" else None,
            )
            unique[candidate] = None
        return list(unique)


def sort_out(
    combinations: Sequence[Candidate], obstacles: Sequence[Obstacle]
) -> tuple[list[Candidate], dict[Candidate, str]]:
    """Divide candidates into those that may run and those that cannot.

    Args:
        combinations: The candidates.
        obstacles: Functions that say why a candidate cannot run; the first reason counts.

    Returns:
        Those that may run, in order, and the others with their reasons.
    """
    able: list[Candidate] = []
    reasons: dict[Candidate, str] = {}
    for candidate in combinations:
        reason = next((reason for obstacle in obstacles if (reason := obstacle(candidate))), None)
        if reason is None:
            able.append(candidate)
        else:
            reasons[candidate] = reason
    return able, reasons


def thread_obstacle(cores: int) -> Obstacle:
    """Return the obstacle of candidates that need more threads than there are cores.

    Args:
        cores: The machine's cores.
    """

    def obstacle(candidate: Candidate) -> str | None:
        threads = candidate.threads or 1
        return f"{threads} threads are more than the machine's {cores} cores" if threads > cores else None

    return obstacle
