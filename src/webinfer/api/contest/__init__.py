"""Contests in real browsers: what a caller allows, and each candidate in a browser of its own."""
