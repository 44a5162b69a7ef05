"""Decisions without I/O, clock or randomness: state in, decision out."""
