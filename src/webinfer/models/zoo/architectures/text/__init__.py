"""Language models and encoders of text, as ONNX graphs."""
