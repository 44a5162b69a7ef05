"""Which browser a session belongs in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from webinfer.core.capabilities import Capabilities
from webinfer.core.options import Backend

Subject = tuple[str, Backend, str]
"""What a browser may be passed over for: a model's hash, its backend and its precision."""


@dataclass(slots=True)
class BrowserState:
    """What the scheduler knows of a browser that may be started, by its name.

    Attributes:
        up: It runs, or is starting.
        barred: It did not start when it last was to; others take its place until it does.
        capabilities: What it reported when it last started; ``None`` before it ran for the first time.
        passed_over: What it answers wrongly, with the engine's version that does. Others go before it there.
    """

    up: bool = False
    barred: bool = False
    capabilities: Capabilities | None = None
    passed_over: dict[Subject, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The engine's version, as it was last reported; empty where it is not known."""
        return self.capabilities.engine_version if self.capabilities is not None else ""

    def is_passed_over(self, subject: Subject) -> bool:
        """Return whether others go before it, because it answers a model wrongly.

        Args:
            subject: The model, its backend and precision.
        """
        return self.passed_over.get(subject) == self.version

    def can_run(self, backend: Backend | None) -> bool:
        """Return whether it can run that backend, as far as is known; ``None`` stands for any.

        Args:
            backend: The backend; ``None`` stands for any.
        """
        return backend is None or self.capabilities is None or self.capabilities.can_run(backend)


def ranked(names: Iterable[str], subject: Subject, browsers: Mapping[str, BrowserState]) -> tuple[str, ...]:
    """Return the browsers that may run a model, those that answer it wrongly last.

    Args:
        names: Browsers that may run it, the preferred one first; none for any.
        subject: The model, its backend and precision.
        browsers: What is known of each browser.
    """
    known = [name for name in names or browsers if name in browsers]
    return tuple(sorted(known, key=lambda name: browsers[name].is_passed_over(subject)))


def home(names: Iterable[str], subject: Subject, browsers: Mapping[str, BrowserState]) -> str | None:
    """Return the browser that a session belongs in: the first of ``names`` that starts and has its backend.

    One that answers the model wrongly comes last.

    Args:
        names: Browsers that may run it, the preferred one first; none for any.
        subject: The model, its backend and precision.
        browsers: What is known of each browser.
    """
    _, backend, _ = subject
    for name in ranked(names, subject, browsers):
        state = browsers[name]
        if not state.barred and state.can_run(backend):
            return name
    return None
