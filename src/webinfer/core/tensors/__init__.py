"""Tensors: the dtypes that pass between Python and a browser, a model's signature, and inputs made to fit it."""

from webinfer.core.tensors.preparation import prepare
from webinfer.core.tensors.signature import DERIVED, DTYPES, SOUND, Signature, TensorSpec, refuse_unknown

__all__ = ["DERIVED", "DTYPES", "SOUND", "Signature", "TensorSpec", "prepare", "refuse_unknown"]
