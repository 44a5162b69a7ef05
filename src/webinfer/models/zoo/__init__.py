"""ONNX graphs of well-known architectures, made with NumPy and onnx alone.

``graph`` collects nodes and weights and writes the file; ``weights`` says where weights come from; ``layers`` has
what architectures share; each architecture is one module with one function that returns its graph.
"""

from __future__ import annotations

VERSION = 1  # Part of the cache's paths: raise it when a graph changes, so that models are built again.
