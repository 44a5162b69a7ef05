"""The module name of the resource pool's bridge; see ``webinfer.compat``."""

from __future__ import annotations

from webinfer.compat import BrowserConnection, EnhancedWebModel, ResourcePoolBridge

__all__ = ["BrowserConnection", "EnhancedWebModel", "ResourcePoolBridge"]
