"""The names of the WebNN/WebGPU resource pool guide, over ours.

``fixed_web_platform`` and ``resource_pool`` re-export them, so that the guide's code runs as written. The keywords
and keys are the guide's; the behaviour is this package's. What this version does not do yet is refused with an
``OptionError``, never accepted in silence.
"""

from __future__ import annotations

from webinfer.compat.accelerator import IPFSWebAccelerator, create_ipfs_web_accelerator
from webinfer.compat.bridge import ResourcePoolBridge
from webinfer.compat.connection import BrowserConnection
from webinfer.compat.integration import IPFSAccelerateWebIntegration
from webinfer.compat.model import EnhancedWebModel
from webinfer.compat.resources import ResourcePool, get_global_resource_pool, provide
from webinfer.compat.websocket import WebSocketBridge

provide(IPFSAccelerateWebIntegration)  # for names that the global pool makes by itself

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
