"""Tensors that stay on a lane: the state of a sequence, and outputs that other models take."""
