"""Models of the Hugging Face hub, by its own library: its cache, tokens, mirrors and offline mode."""

from __future__ import annotations

from webinfer.models.sources.hub.source import HubReference, cached, names, open_hub, remove, where

__all__ = ["HubReference", "cached", "names", "open_hub", "remove", "where"]
