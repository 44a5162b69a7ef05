"""The command line: thin commands over public names."""

from __future__ import annotations

from webinfer.cli.root import app, main

__all__ = ["app", "main"]
