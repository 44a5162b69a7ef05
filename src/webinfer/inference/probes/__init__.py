"""Measurements of a loaded model: hardware, profile, audio features."""
