"""Where a model goes wrong in a browser: the first node whose output leaves native onnxruntime's."""
