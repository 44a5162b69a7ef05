"""Models in fewer bits: any ONNX model brought to a precision that its author does not ship, with the loss measured."""

from __future__ import annotations

from webinfer.quantization.cache import obtain, quantize
from webinfer.quantization.weights.scheme import SCHEMES, following, precision_of, scheme_of

__all__ = ["SCHEMES", "following", "obtain", "precision_of", "quantize", "scheme_of"]
