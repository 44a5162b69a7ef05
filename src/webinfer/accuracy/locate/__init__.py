"""Where a model goes wrong in a browser: the first node whose output differs from native onnxruntime's."""
