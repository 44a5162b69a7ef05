"""Which browser a session belongs in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from webinfer.core.capabilities import Capabilities
from webinfer.core.options import Backend


@dataclass(slots=True)
class BrowserState:
    """What the scheduler knows of a browser that may be started, by its name.

    Attributes:
        up: It runs, or is starting.
        barred: It did not start when it last was to; others take its place until it does.
        capabilities: What it reported when it last started; ``None`` before it ran for the first time.
    """

    up: bool = False
    barred: bool = False
    capabilities: Capabilities | None = None

    def can_run(self, backend: Backend | None) -> bool:
        """Return whether it can run that backend, as far as is known; ``None`` stands for any.

        Args:
            backend: The backend; ``None`` stands for any.
        """
        return backend is None or self.capabilities is None or self.capabilities.can_run(backend)


def home(names: Iterable[str], backend: Backend, browsers: Mapping[str, BrowserState]) -> str | None:
    """Return the browser that a session belongs in: the first of ``names`` that starts and has its backend.

    Args:
        names: Browsers that may run it, the preferred one first; none for any.
        backend: The session's backend.
        browsers: What is known of each browser.
    """
    for name in names or browsers:
        state = browsers.get(name)
        if state is not None and not state.barred and state.can_run(backend):
            return name
    return None
