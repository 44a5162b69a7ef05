"""The module name of the WebSocket bridge; see ``webinfer.compat``."""

from __future__ import annotations

from webinfer.compat import WebSocketBridge

__all__ = ["WebSocketBridge"]
