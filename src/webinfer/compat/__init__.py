"""The names of the WebNN/WebGPU resource pool guide, over ours.

``fixed_web_platform`` and ``resource_pool`` re-export them, so that the guide's code runs as written. The keywords
and keys are the guide's. The behaviour is this package's. A setting that this version does not support raises an
``OptionError``; it is never ignored.
"""

from __future__ import annotations

from webinfer.compat.accelerator import IPFSWebAccelerator, create_ipfs_web_accelerator
from webinfer.compat.bridge import ResourcePoolBridge
from webinfer.compat.connection import BrowserConnection
from webinfer.compat.integration import IPFSAccelerateWebIntegration
from webinfer.compat.model import EnhancedWebModel
from webinfer.compat.resources import ResourcePool, get_global_resource_pool, provide
from webinfer.compat.websocket import WebSocketBridge

provide(IPFSAccelerateWebIntegration)  # the global pool makes its integrations with this

__all__ = [
    "BrowserConnection",
    "EnhancedWebModel",
    "IPFSAccelerateWebIntegration",
    "IPFSWebAccelerator",
    "ResourcePool",
    "ResourcePoolBridge",
    "WebSocketBridge",
    "create_ipfs_web_accelerator",
    "get_global_resource_pool",
]
