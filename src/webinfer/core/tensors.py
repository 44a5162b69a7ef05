"""Tensors: the dtypes that pass between Python and a browser, a model's signature, and inputs made to fit it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import DtypeMismatch, EmptyBatch, MissingInput, ShapeMismatch, UnknownInput, UnknownOutput

DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "float64": np.dtype("<f8"),
    "int8": np.dtype("i1"),
    "uint8": np.dtype("u1"),
    "int16": np.dtype("<i2"),
    "uint16": np.dtype("<u2"),
    "int32": np.dtype("<i4"),
    "uint32": np.dtype("<u4"),
    "int64": np.dtype("<i8"),
    "uint64": np.dtype("<u8"),
    "bool": np.dtype("bool"),
}

DERIVED = ("attention_mask", "token_type_ids", "position_ids")  # what follows from input_ids where it is left out
_PAST = "past_key_values"


SOUND = ("input_values", "input_features")  # inputs that hold samples, or what is made of them


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: Its name in the graph.
        dtype: A key of ``DTYPES``.
        shape: Each dimension's size, its symbolic name, or ``None`` where the model says nothing.
        ranked: Whether the model states a shape at all. Where it does not, ``shape`` is empty and any rank fits.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]
    ranked: bool = True

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape) if self.ranked else "..."
        return f"{self.name}: {self.dtype}[{sizes}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives, in the graph's order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    # What the fast path compares, made once: it runs for every request.
    plan: tuple[tuple[str, np.dtype[Any], tuple[int | str | None, ...]], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        plan = tuple((spec.name, DTYPES[spec.dtype], spec.shape) for spec in self.inputs if spec.ranked)
        object.__setattr__(self, "plan", plan)

    @property
    def required(self) -> tuple[TensorSpec, ...]:
        """The inputs that the caller must give: all but those that follow from ``input_ids``."""
        if not any(spec.name == "input_ids" for spec in self.inputs):
            return self.inputs
        return tuple(spec for spec in self.inputs if spec.name not in DERIVED)


def prepare(signature: Signature, inputs: Any) -> dict[str, NDArray[Any]]:
    """Make a caller's inputs fit a model's signature.

    Lists, tuples and scalars take the declared dtype if that loses nothing (rounding to a float dtype aside). Arrays
    are converted within their kind only, integer to integer and float to float, and are not copied where they fit
    already. An array one dimension short gets a leading axis of size 1. With ``input_ids`` given,
    ``attention_mask`` may be left out (ones), ``token_type_ids`` (zeros) and ``position_ids`` (counted along
    the mask, as transformers does: ``cumsum(mask) - 1``, and 1 where the mask is 0).

    Args:
        signature: The model's.
        inputs: Values by input name, or one bare value where the model requires a single input.

    Returns:
        C-contiguous little-endian arrays of the declared dtypes, in the signature's order.

    Raises:
        UnknownInput: A name is none of the model's.
        MissingInput: An input was not given and does not follow from the others.
        DtypeMismatch: A value is text, ragged, of another kind, or out of the declared dtype's range.
        ShapeMismatch: A rank or a dimension is not the declared one, or two inputs disagree on a symbolic one.
        EmptyBatch: There are no items.
    """
    if type(inputs) is dict:
        ready = _accept(signature, inputs)
        if ready is not None:
            return ready
    named = inputs if isinstance(inputs, Mapping) else {_only_input(signature).name: inputs}
    _refuse_unknown(signature, named)
    arrays = {
        spec.name: _fit_rank(spec, _convert(spec, named[spec.name])) for spec in signature.inputs if spec.name in named
    }
    _derive(signature, arrays)
    ordered = {spec.name: arrays[spec.name] for spec in signature.inputs}
    _check_shapes(signature, ordered)
    return ordered


def _accept(signature: Signature, inputs: dict[str, Any]) -> dict[str, NDArray[Any]] | None:
    """Return the inputs if they fit as they are; the whole check for most requests, so it is kept cheap."""
    if not len(inputs) == len(signature.plan) == len(signature.inputs):
        return None
    ready: dict[str, NDArray[Any]] = {}
    sizes: dict[str, int] = {}
    for name, dtype, shape in signature.plan:
        array = inputs.get(name)
        if type(array) is not np.ndarray or array.dtype is not dtype or not array.flags.c_contiguous:
            return None
        actual = array.shape
        if len(actual) != len(shape) or 0 in actual:
            return None
        for size, wanted in zip(actual, shape):  # noqa: B905  # equally long, as just checked
            if size == wanted or wanted is None:
                continue
            if isinstance(wanted, int) or sizes.setdefault(wanted, size) != size:
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
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UnknownInput(
                f"The model has no input {name!r}.{hint} It takes {_listed(signature)}.", input=str(name), known=known
            )


def _listed(signature: Signature) -> str:
    return ", ".join(map(str, signature.inputs)) or "no inputs"


# Values


def _convert(spec: TensorSpec, value: Any) -> NDArray[Any]:
    """Return a value as an array of the declared dtype."""
    if not isinstance(value, np.ndarray) and hasattr(value, "__array__") and not isinstance(value, np.generic):
        value = np.asarray(value)  # Tensors of other libraries.
    if isinstance(value, np.ndarray):
        return _convert_array(spec, value)
    return _convert_list(spec, value)


def _convert_array(spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    wanted = DTYPES[spec.dtype]
    if array.dtype.newbyteorder("<") != wanted:
        kinds = {array.dtype.kind, wanted.kind}
        if not (kinds <= {"i", "u"} or kinds == {"f"}):
            raise DtypeMismatch(
                f"Input {spec.name!r} takes {spec.dtype} and got an array of {_name_of(array.dtype)}: "
                f"{_remedy(spec, array.dtype)}.",
                input=spec.name,
                expected=spec.dtype,
                got=str(array.dtype),
            )
        _check_range(spec, array)
    with np.errstate(over="ignore"):
        return np.asarray(array, dtype=wanted, order="C")


def _remedy(spec: TensorSpec, got: np.dtype[Any]) -> str:
    if got.kind in "US":
        return "text has to be encoded with the model's tokenizer first"
    if got.kind == "O":
        return "its items are Python objects, so it is ragged or holds something else than numbers"
    if got.kind == "c":
        return "pass its real part, or real and imaginary parts as the model wants them"
    return f"if that is meant, convert it with .astype(np.{'bool_' if spec.dtype == 'bool' else spec.dtype})"


def _name_of(dtype: np.dtype[Any]) -> str:
    return {"U": "text", "S": "bytes", "O": "objects"}.get(dtype.kind, dtype.name)


def _convert_list(spec: TensorSpec, value: Any) -> NDArray[Any]:
    """Convert lists, tuples and scalars, as long as the declared dtype can hold what they say."""
    _refuse_strangers(spec, value)
    wanted = DTYPES[spec.dtype]
    try:
        found = np.array(value)
    except (ValueError, OverflowError) as error:
        _refuse_ragged(spec, value, error)
    if found.size == 0:
        return found.astype(wanted)
    if found.dtype.kind == "O":
        return _convert_objects(spec, found)
    if found.dtype.kind not in "biuf":
        _refuse(spec, f"holds {_name_of(found.dtype)}: {_remedy(spec, found.dtype)}", str(found.dtype))
    if wanted.kind != "f" and found.dtype.kind == "f":
        found = _as_integers(spec, value, found)
    _check_range(spec, found)
    with np.errstate(over="ignore"):
        return found.astype(wanted, order="C")


def _as_integers(spec: TensorSpec, value: Any, found: NDArray[Any]) -> NDArray[Any]:
    """Return what NumPy took for floats as whole numbers, exactly.

    They may be floats that are whole, or integers of which some fit int64 and others uint64 only: NumPy has no
    dtype for such a mixture but float64, which rounds.
    """
    if not (np.isfinite(found).all() and (np.floor(found) == found).all()):
        _refuse(spec, "holds fractions: round them if that is meant", str(found.dtype))
    return np.array([int(item) for item in np.array(value, object).flat], object).reshape(found.shape)


def _refuse_strangers(spec: TensorSpec, value: Any) -> None:
    if isinstance(value, str | bytes | bytearray):
        _refuse(
            spec,
            "is text: encode it with the model's tokenizer first, or pass the text alone in place of the inputs",
            type(value).__name__,
        )
    if value is None:
        _refuse(spec, "is None: leave the name out, or pass an array", "None")
    if not isinstance(value, list | tuple | bool | int | float | np.generic):
        _refuse(spec, f"is a {type(value).__name__}: pass an array, nested lists or a number", type(value).__name__)


def _refuse_ragged(spec: TensorSpec, value: Any, error: Exception) -> NoReturn:
    if isinstance(error, OverflowError):
        _refuse(spec, f"holds a number that no dtype holds ({error})", "int")
    lengths = (
        sorted({len(row) for row in value if isinstance(row, list | tuple | np.ndarray)})
        if isinstance(value, list | tuple)
        else []
    )
    which = f" ({', '.join(map(str, lengths[:5]))})" if len(lengths) > 1 else ""
    _refuse(spec, f"is ragged: its rows have different lengths{which}; pad them to one length", "ragged list")


def _convert_objects(spec: TensorSpec, found: NDArray[Any]) -> NDArray[Any]:
    """Convert whole numbers too large for NumPy to choose a dtype for; anything else is no number."""
    if not all(isinstance(item, int | float) for item in found.flat):
        odd = next(item for item in found.flat if not isinstance(item, int | float))
        _refuse(spec, f"holds a {type(odd).__name__} among its numbers", type(odd).__name__)
    try:
        as_floats = found.astype(np.float64)
    except OverflowError:
        as_floats = None
    if as_floats is None or DTYPES[spec.dtype].kind != "f":
        _refuse(spec, f"holds a whole number of more than 64 bits, which {spec.dtype} does not hold", "int")
    _check_range(spec, as_floats)
    return as_floats.astype(DTYPES[spec.dtype])


def _check_range(spec: TensorSpec, array: NDArray[Any]) -> None:
    """Refuse values beyond the declared dtype's range, which a cast would change without a word."""
    wanted = DTYPES[spec.dtype]
    if array.size == 0 or np.can_cast(array.dtype, wanted, "safe"):
        return
    if wanted.kind == "f":
        finite = array[np.isfinite(array)]
        low, high = float(np.finfo(wanted).min), float(np.finfo(wanted).max)
    else:
        finite = array
        low, high = (0, 1) if wanted.kind == "b" else (np.iinfo(wanted).min, np.iinfo(wanted).max)
    if finite.size == 0:
        return
    for worst in map(_plain, (finite.min(), finite.max())):  # Python's numbers compare without rounding
        if not low <= worst <= high:
            _refuse(spec, f"holds {worst}, which {spec.dtype} does not hold ({low} to {high})", str(array.dtype))


def _plain(number: Any) -> Any:
    return number.item() if isinstance(number, np.generic) else number


def _refuse(spec: TensorSpec, why: str, got: str) -> NoReturn:
    raise DtypeMismatch(
        f"Input {spec.name!r} takes {spec.dtype} and {why}.", input=spec.name, expected=spec.dtype, got=got
    )


# Shapes


def _fit_rank(spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    """Add the leading axis, where only that is missing."""
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


def _check_shapes(signature: Signature, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Check every dimension, and that inputs agree where they share a symbolic one."""
    seen: dict[str, tuple[int, str]] = {}
    for spec in signature.inputs:
        array = arrays[spec.name]
        if array.ndim and array.shape[0] == 0 and not (spec.shape and spec.shape[0] == 0):
            raise EmptyBatch(f"Input {spec.name!r} has no items: its shape is {array.shape}.", input=spec.name)
        for axis, wanted in enumerate(spec.shape):
            size = array.shape[axis]
            if isinstance(wanted, int) and size != wanted:
                _refuse_shape(spec, array, f"must be {wanted} at dimension {axis} and is {size}")
            if isinstance(wanted, str):
                before, where = seen.setdefault(wanted, (size, spec.name))
                if before != size:
                    said = f"has {wanted} = {size} at dimension {axis}, while input {where!r} has {wanted} = {before}"
                    _refuse_shape(spec, array, said)


def _refuse_shape(spec: TensorSpec, array: NDArray[Any], why: str) -> NoReturn:
    raise ShapeMismatch(
        f"Input {spec.name!r} {why}: the model takes {spec} and the array's shape is {array.shape}.",
        input=spec.name,
        expected=list(spec.shape),
        got=list(array.shape),
    )


# Inputs that follow from others


def _derive(signature: Signature, arrays: dict[str, NDArray[Any]]) -> None:
    """Add what was left out and follows from ``input_ids``."""
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


def refuse_unknown(outputs: Sequence[str], signature: Signature, model: str) -> None:
    """Refuse outputs that a model does not have.

    Args:
        outputs: Names of the outputs wanted.
        signature: The model's.
        model: The model's name, for the error.

    Raises:
        UnknownOutput: One is not among its own.
    """
    known = [spec.name for spec in signature.outputs]
    for name in outputs:
        if name not in known:
            raise UnknownOutput(
                f"{model} has no output {name!r}. It has: {', '.join(known)}.", output=name, known=known
            )
