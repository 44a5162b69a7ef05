"""Graphs rewritten into operators that backends have a fast kernel for, with the same answers.

``fuse`` does only exact rewritings: both forms compute the same function, and differ by rounding alone. ``int8_matmul``
is not exact, so callers ask for it by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnx import GraphProto, ModelProto, helper

from webinfer.core.options import Backend
from webinfer.models.graphs.fusion.gelu import fuse_gelu
from webinfer.models.graphs.fusion.matching import CONTRIB


def fuse(model: ModelProto, backend: Backend) -> dict[str, int]:
    """Rewrite a model for a backend, in place.

    Args:
        model: The model, or its outline.
        backend: Backend that is to run it.

    Returns:
        How many subgraphs were replaced, by the operator that replaced them; those replaced nowhere are left out.
    """
    counts = {name: rewrite(model.graph) for name, rewrite in _REWRITINGS.get(backend, {}).items()}
    done = {name: count for name, count in counts.items() if count}
    if done:
        import_contrib(model)
    return done


def import_contrib(model: ModelProto) -> None:
    """Let a model use the runtime's own operators.

    Args:
        model: The model, changed in place.
    """
    if all(opset.domain != CONTRIB for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))


# Chromium's WebNN on LiteRT has a kernel for Gelu and none for Erf, which takes fifteen times as long as all of Gelu.
# WebAssembly's and WebGPU's providers find it themselves when they optimize the graph.
_REWRITINGS: Mapping[Backend, Mapping[str, Callable[[GraphProto], int]]] = {"webnn": {"Gelu": fuse_gelu}}
