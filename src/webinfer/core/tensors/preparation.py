"""Inputs made to fit a model's signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import EmptyBatch, MissingInput, ShapeMismatch, UnknownInput
from webinfer.core.errors.suggestions import suggestion
from webinfer.core.tensors.conversion import convert
from webinfer.core.tensors.signature import DERIVED, DTYPES, Signature, TensorSpec

_PAST = "past_key_values"


def prepare(signature: Signature, inputs: Any, *, empty: bool = False) -> dict[str, NDArray[Any]]:
    """Make a caller's inputs fit a model's signature.

    Lists, tuples and scalars take the declared dtype if that loses nothing (rounding to a float dtype aside). Arrays
    are converted within their kind only, integer to integer and float to float, and are not copied where they fit
    already. An array one dimension short gets a leading axis of size 1. With ``input_ids`` given,
    ``attention_mask`` may be left out (ones), ``token_type_ids`` (zeros) and ``position_ids`` (counted along
    the mask, as transformers does: ``cumsum(mask) - 1``, and 1 where the mask is 0).

    Args:
        signature: The model's.
        inputs: Values by input name, or one bare value where the model requires a single input.
        empty: Whether there may be no items.

    Returns:
        C-contiguous little-endian arrays of the declared dtypes, in the signature's order.

    Raises:
        UnknownInput: A name is none of the model's.
        MissingInput: An input was not given and does not follow from the others.
        DtypeMismatch: A value is text, ragged, of another kind, or out of the declared dtype's range.
        ShapeMismatch: A rank or a dimension is not the declared one.
        EmptyBatch: There are no items, and there have to be.
    """
    if type(inputs) is dict:
        ready = _accept(signature, inputs)
        if ready is not None:
            return ready
    named = inputs if isinstance(inputs, Mapping) else {_only_input(signature).name: inputs}
    _refuse_unknown(signature, named)
    arrays = {
        spec.name: _fit_rank(spec, convert(spec, named[spec.name])) for spec in signature.inputs if spec.name in named
    }
    _derive(signature, arrays)
    ordered = {spec.name: arrays[spec.name] for spec in signature.inputs}
    _check_shapes(signature, ordered, empty)
    return ordered


def _accept(signature: Signature, inputs: dict[str, Any]) -> dict[str, NDArray[Any]] | None:
    """Return the inputs if they fit as they are; the whole check for most requests, so it is kept cheap."""
    if not len(inputs) == len(signature.plan) == len(signature.inputs):
        return None
    ready: dict[str, NDArray[Any]] = {}
    for name, dtype, shape in signature.plan:
        array = inputs.get(name)
        # By identity, which is cheapest: NumPy has one object for each plain dtype, and any other takes the slow path.
        if type(array) is not np.ndarray or array.dtype is not dtype or not array.flags.c_contiguous:
            return None
        actual = array.shape
        if len(actual) != len(shape) or 0 in actual:
            return None
        for size, wanted in zip(actual, shape):  # noqa: B905  # equally long, as just checked
            if size != wanted and isinstance(wanted, int):
                return None
        ready[name] = array
    return ready


# Names


def _only_input(signature: Signature) -> TensorSpec:
    required = signature.required
    if len(required) != 1:
        raise MissingInput(
            f"The model takes {len(required)} inputs, so each needs its name: pass a dict of {_listed(signature)}.",
            inputs=[spec.name for spec in required],
        )
    return required[0]


def _refuse_unknown(signature: Signature, inputs: Mapping[str, Any]) -> None:
    known = [spec.name for spec in signature.inputs]
    for name in inputs:
        if name not in known:
            hint = " ".join(filter(None, (suggestion(name, known), f"It takes {_listed(signature)}.")))
            raise UnknownInput(f"The model has no input {name!r}. {hint}", input=str(name), known=known)


def _listed(signature: Signature) -> str:
    return ", ".join(map(str, signature.inputs)) or "no inputs"


# Shapes


def _fit_rank(spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    """Return the array with its leading axis, where only that is missing.

    Raises:
        ShapeMismatch: It has another number of dimensions.
    """
    if not spec.ranked or array.ndim == len(spec.shape):
        return array
    if array.ndim == len(spec.shape) - 1:
        return array[np.newaxis]
    raise ShapeMismatch(
        f"Input {spec.name!r} has {len(spec.shape)} dimensions ({spec}) and got {array.ndim}: shape {array.shape}.",
        input=spec.name,
        expected=list(spec.shape),
        got=list(array.shape),
    )


def _check_shapes(signature: Signature, arrays: Mapping[str, NDArray[Any]], empty: bool) -> None:
    """Check every dimension that has a size. A name says nothing of one, not even that two of the name are equal.

    Raises:
        EmptyBatch: An input has no items.
        ShapeMismatch: A dimension is not the declared one.
    """
    for spec in signature.inputs:
        array = arrays[spec.name]
        if array.ndim and array.shape[0] == 0 and not empty and not (spec.shape and spec.shape[0] == 0):
            why = f"Input {spec.name!r} has no items: its shape is {array.shape}. WebAssembly alone takes that."
            raise EmptyBatch(why, input=spec.name)
        for axis, wanted in enumerate(spec.shape):
            size = array.shape[axis]
            if isinstance(wanted, int) and size != wanted:
                _refuse_shape(spec, array, f"must be {wanted} at dimension {axis} and is {size}")


def _refuse_shape(spec: TensorSpec, array: NDArray[Any], why: str) -> NoReturn:
    raise ShapeMismatch(
        f"Input {spec.name!r} {why}: the model takes {spec} and the array's shape is {array.shape}.",
        input=spec.name,
        expected=list(spec.shape),
        got=list(array.shape),
    )


# Inputs that follow from others


def _derive(signature: Signature, arrays: dict[str, NDArray[Any]]) -> None:
    """Add what was left out and follows from ``input_ids``.

    Raises:
        MissingInput: Something was left out that does not follow from them.
    """
    ids = arrays.get("input_ids")
    missing = [spec for spec in signature.inputs if spec.name not in arrays]
    underivable = [spec for spec in missing if ids is None or ids.ndim != 2 or spec.name not in DERIVED]
    if underivable:
        names = ", ".join(repr(spec.name) for spec in underivable)
        raise MissingInput(
            f"Missing input {names}. The model takes {_listed(signature)}.", inputs=[spec.name for spec in underivable]
        )
    for spec in missing:
        assert ids is not None
        arrays[spec.name] = _derived(spec, ids, arrays)


def _derived(spec: TensorSpec, ids: NDArray[Any], arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    dtype = DTYPES[spec.dtype]
    if spec.name == "token_type_ids":
        return np.zeros(ids.shape, dtype)
    past = next((array.shape[-2] for name, array in arrays.items() if name.startswith(_PAST) and array.ndim == 4), 0)
    mask = arrays.get("attention_mask")
    if mask is None:
        mask = np.ones((ids.shape[0], past + ids.shape[1]), dtype)
    if spec.name == "attention_mask":
        return mask
    counted = np.where(mask == 0, 1, np.cumsum(mask != 0, axis=1) - 1)  # transformers' prepare_inputs_for_generation
    return np.ascontiguousarray(counted[:, -ids.shape[1] :].astype(dtype))
