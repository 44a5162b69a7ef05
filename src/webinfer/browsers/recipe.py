"""What a lane is given to make a session of, and which tensors of a run stay with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from webinfer.core.capabilities import DeviceType
from webinfer.core.options import Backend
from webinfer.transport.wire.commands import (
    ExternalSource,
    FileSource,
    LoadCommand,
    ProfileCommand,
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a lane needs to create a session.

    Attributes:
        model: The graph's file.
        external: Its external data.
        backend: Backend to create it for.
        dimensions: Fixed sizes of symbolic dimensions, by name.
        device: WebNN's device type, where the backend is WebNN.
        outputs: The model's outputs, dtype by name, which every answer of the lane is held against.
        store: Keep the files in the browser's own storage, and take them from there.
        resident: Outputs that WebGPU leaves in its own memory.
        capture: Have WebGPU record its run and replay it, if the runtime can.
        whole: Refuse a session some of whose nodes went to another backend.
    """

    model: FileSource
    external: tuple[ExternalSource, ...]
    backend: Backend
    dimensions: tuple[tuple[str, int], ...] = ()
    device: DeviceType | None = None
    outputs: Mapping[str, np.dtype[Any]] = field(default_factory=dict)
    store: bool = False
    whole: bool = False
    resident: tuple[str, ...] = ()
    capture: bool = False

    @property
    def nbytes(self) -> int:
        """Size of all files."""
        return self.model.nbytes + sum(file.nbytes for file in self.external)

    def load_command(self, session: str) -> LoadCommand:
        """Return the command to create a session.

        Args:
            session: The session's name.
        """
        return LoadCommand(
            session=session,
            resident=self.resident,
            capture=self.capture,
            backend=self.backend,
            model=self.model,
            external=self.external,
            dimensions=dict(self.dimensions),
            device=self.device,
            store=self.store,
        )

    def profile_command(self, operators: bool, runs: int, seconds: float) -> ProfileCommand:
        """Return the command to measure the model in a session of its own.

        Args:
            operators: Measure operators, and not the parts of a run.
            runs: Runs that count, at most.
            seconds: When no further run begins.
        """
        return ProfileCommand(
            backend=self.backend,
            model=self.model,
            external=self.external,
            dimensions=dict(self.dimensions),
            device=self.device,
            store=self.store,
            operators=operators,
            runs=runs,
            limit=seconds * 1e3,
        )


@dataclass(frozen=True, slots=True)
class Residents:
    """Tensors of a run that stay on the lane, under handles that name one tensor each.

    Attributes:
        feeds: Handles of inputs that are there already, by input.
        keep: Handles to keep outputs under, by output, which are not sent unless asked for as well; or to keep inputs
            of this run under, by input.
        free: Handles to release once the run has succeeded.
        describe: Have the answer say of what type and size the kept tensors are.
    """

    feeds: Mapping[str, str]
    keep: Mapping[str, str]
    free: tuple[str, ...] = ()
    describe: bool = False
