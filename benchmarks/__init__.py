"""What the README quotes, each a ratio measured in one run: ``python -m benchmarks.NAME``."""
