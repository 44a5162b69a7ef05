"""The sessions of a model, whole or in stages, and which of their runs a GPU may record."""

from webinfer.inference.sessions.base import Answer, ModelSessions
from webinfer.inference.sessions.capture import GraphCapture
from webinfer.inference.sessions.staged import StagedSessions, join_loads
from webinfer.inference.sessions.whole import Sessions

__all__ = ["Answer", "GraphCapture", "ModelSessions", "Sessions", "StagedSessions", "join_loads"]
