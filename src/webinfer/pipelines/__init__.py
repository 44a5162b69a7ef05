"""Tasks over models: they take texts, images and sounds, and return labels, texts and vectors.

``base`` has what all tasks share. Each task is one module. ``registry`` lists the tasks.
"""

from __future__ import annotations

from webinfer.pipelines.base.pipeline import AsyncPipeline, LoadModel
from webinfer.pipelines.registry import TASKS, pipeline_class

__all__ = ["TASKS", "AsyncPipeline", "LoadModel", "pipeline_class"]
