"""Names of models, without what opens them: shell completion asks for no more."""

from __future__ import annotations

from webinfer.models.sources.cached import here
from webinfer.models.sources.resolve import listed

__all__ = ["listed", "ready_references"]


def ready_references() -> list[str]:
    """Return the names of models that can be listed, and of those that lie ready in a cache."""
    references = listed()
    return [*references, *(extra for extra in here(references) if extra not in references)]
