"""Models of images, as ONNX graphs."""
