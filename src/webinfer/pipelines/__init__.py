"""Tasks over models: texts, images and sounds in, labels, texts and vectors out.

``base`` is what all share; each task is one module; ``tasks`` has the table of them.
"""

from __future__ import annotations

from webinfer.pipelines.base.pipeline import AsyncPipeline, LoadModel
from webinfer.pipelines.registry import TASKS, pipeline_class

__all__ = ["TASKS", "AsyncPipeline", "LoadModel", "pipeline_class"]
