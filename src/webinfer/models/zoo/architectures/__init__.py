"""Well-known architectures as ONNX graphs, made with NumPy and onnx alone."""
