"""Models: from a reference to verified, described files, and what belongs to running them."""

from __future__ import annotations

from webinfer.models.package import ModelFile, ModelPackage
from webinfer.models.sources import resolve

__all__ = ["ModelFile", "ModelPackage", "resolve"]
