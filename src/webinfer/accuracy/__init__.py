"""Whether answers are right: sample inputs, native onnxruntime, and the comparison of outputs."""
