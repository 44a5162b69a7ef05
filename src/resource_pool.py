"""The module name of the resource pool guide; see ``webinfer.compat``."""

from __future__ import annotations

from webinfer.compat import ResourcePool, get_global_resource_pool

__all__ = ["ResourcePool", "get_global_resource_pool"]
