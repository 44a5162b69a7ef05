"""What users call: the accelerator in both faces, and the way from a reference to a loaded model."""
