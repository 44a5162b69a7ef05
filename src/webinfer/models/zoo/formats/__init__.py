"""Files of weights that others publish, read, and ONNX graphs, written."""
