"""Models of speech as ONNX graphs, and their configurations."""
