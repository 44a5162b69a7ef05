"""The source ``random:NAME``: exact architectures with seeded, untrained weights, for speed and plumbing.

``entry`` says what an entry is, ``source`` has the table; each family of models is a module with a table ``MODELS``
of its own.
"""

from __future__ import annotations

from webinfer.models.zoo.random.source import names, open_random

__all__ = ["names", "open_random"]
