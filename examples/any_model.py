"""Any ONNX file: here one that is made on the spot, run on every backend that the browser has."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from webinfer import Accelerator

graph = helper.make_graph(
    [helper.make_node("Softmax", ["scores"], ["shares"], axis=-1)],
    "shares",
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("batch", 3))],
    [helper.make_tensor_value_info("shares", TensorProto.FLOAT, ("batch", 3))],
)

with tempfile.TemporaryDirectory() as directory, Accelerator() as accelerator:
    path = Path(directory) / "shares.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    for backend in accelerator.start().backends:
        result = accelerator.load(path, platform=backend).run({"scores": [[1.0, 2.0, 3.0]]})
        print(f"{backend:6}  {np.round(result['shares'], 3)}  {result.verdict}, {result.times.run * 1e3:.2f} ms")
