"""The module name of the resource pool guide; see ``webinfer.compat``."""

from __future__ import annotations

from webinfer.compat import (
    BrowserConnection,
    EnhancedWebModel,
    IPFSAccelerateWebIntegration,
    IPFSWebAccelerator,
    ResourcePoolBridge,
    WebSocketBridge,
    create_ipfs_web_accelerator,
)

__all__ = [
    "BrowserConnection",
    "EnhancedWebModel",
    "IPFSAccelerateWebIntegration",
    "IPFSWebAccelerator",
    "ResourcePoolBridge",
    "WebSocketBridge",
    "create_ipfs_web_accelerator",
]
