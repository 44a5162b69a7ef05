"""Half floats in place of float32, by the types that operators declare."""
