"""Inputs and activations that quantization is fitted to."""
