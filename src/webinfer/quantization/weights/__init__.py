"""Weights in fewer bits: which ones, by which scheme, and how they are rounded."""
