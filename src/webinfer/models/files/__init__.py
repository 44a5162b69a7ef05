"""A model's files: the package, its signature, family, precision variants and content id."""
