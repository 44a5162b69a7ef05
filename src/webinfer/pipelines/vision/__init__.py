"""Tasks over images: classification, detection, features, zero-shot classification."""
