"""The sessions of a model, and which of their runs a GPU may record."""

from webinfer.inference.sessions.capture import GraphCapture
from webinfer.inference.sessions.whole import Answer, ModelSessions, Sessions

__all__ = ["Answer", "GraphCapture", "ModelSessions", "Sessions"]
