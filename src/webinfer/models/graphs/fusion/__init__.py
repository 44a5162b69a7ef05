"""Graphs rewritten into operators that backends have a fast kernel for, with the same answers.

``fuse`` does only exact rewritings: both forms compute the same function, and differ by rounding alone. ``int8_matmul``
is not exact, so callers ask for it by name.
"""

from __future__ import annotations

from onnx import ModelProto, helper

from webinfer.core.options import Backend
from webinfer.models.graphs.fusion.conv_channels import pad_channels
from webinfer.models.graphs.fusion.gelu import fuse_gelu
from webinfer.models.graphs.fusion.last_index import reverse_last_indices
from webinfer.models.graphs.fusion.matching import CONTRIB
from webinfer.models.graphs.fusion.pooling import pad_pools
from webinfer.models.graphs.fusion.resizing import gather_resized
from webinfer.models.graphs.fusion.shapes import shapes
from webinfer.models.graphs.fusion.slices import turn_slices
from webinfer.models.graphs.fusion.softmax import flatten_softmax

_SIZED = {"ArgMax", "ArgMin", "AveragePool", "Resize"}
"""Operators whose rewriting asks for sizes, which take a while to infer."""


def fuse(model: ModelProto, backend: Backend) -> dict[str, int]:
    """Rewrite a model for a backend, in place.

    Args:
        model: The model, or its outline.
        backend: Backend that is to run it.

    Returns:
        How many subgraphs were replaced, by the operator that replaced them; those replaced nowhere are left out.
    """
    counts: dict[str, int] = {}
    own = next((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), 1)
    if backend == "webnn":
        # Chromium's WebNN on LiteRT has a kernel for Gelu and none for Erf, which takes fifteen times as long as all of
        # Gelu. WebAssembly's and WebGPU's providers find Gelu themselves when they optimize the graph.
        counts["Gelu"] = fuse_gelu(model.graph)
        present = {node.op_type for node in model.graph.node}
        if present & _SIZED:
            known = shapes(model)
            for operator in ("ArgMax", "ArgMin"):
                counts[operator] = reverse_last_indices(model.graph, known, operator)
            counts["AveragePool"] = pad_pools(model.graph, known, own)
            counts["Resize"] = gather_resized(model.graph, known, own)
    elif backend == "webgpu":
        counts["Conv"] = pad_channels(model.graph, own)
        counts["Slice"] = turn_slices(model.graph)
        counts["Softmax"] = flatten_softmax(model.graph, own)
    if counts.get("Gelu"):
        import_contrib(model)
    return {name: count for name, count in counts.items() if count}


def import_contrib(model: ModelProto) -> None:
    """Let a model use the runtime's own operators.

    Args:
        model: The model, changed in place.
    """
    if all(opset.domain != CONTRIB for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
