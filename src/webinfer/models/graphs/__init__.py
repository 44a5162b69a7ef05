"""Graphs without their weights: read, rewritten, external data moved."""
