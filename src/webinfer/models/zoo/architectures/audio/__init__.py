"""Models of speech, and the configurations that lie beside them, as ONNX graphs."""
