"""A caller's values as arrays of the dtype that an input declares."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import DtypeMismatch
from webinfer.core.tensors.signature import DTYPES, TensorSpec


def convert(spec: TensorSpec, value: Any) -> NDArray[Any]:
    """Return a value as an array of the declared dtype.

    Args:
        spec: The input.
        value: An array, nested lists, or a number.

    Returns:
        A C-contiguous little-endian array of that dtype, in the value's own shape. What fits is not copied.

    Raises:
        DtypeMismatch: The value is text, ragged, of another kind, or out of the dtype's range.
    """
    if spec.dtype == "string":
        return _convert_text(spec, value)
    if not isinstance(value, np.ndarray) and hasattr(value, "__array__") and not isinstance(value, np.generic):
        value = np.asarray(value)  # Tensors of other libraries.
    if isinstance(value, np.ndarray):
        return _convert_array(spec, value)
    return _convert_list(spec, value)


def _convert_text(spec: TensorSpec, value: Any) -> NDArray[Any]:
    """Return text, or arrays or nested lists of it, as an array of ``str``.

    Raises:
        DtypeMismatch: It holds something else, or text that is no Unicode, or that the runtime would cut off at a NUL.
    """
    try:
        array = np.array(value, object) if not isinstance(value, np.ndarray) else value.astype(object)
    except ValueError as error:
        _refuse_ragged(spec, value, error)
    for text in array.flat:
        if not isinstance(text, str):
            _refuse(spec, f"holds a {type(text).__name__}: pass text, or arrays or lists of it", type(text).__name__)
        if "\0" in text or not _is_unicode(text):
            _refuse(
                spec, f"holds {text[:40]!r}, which no runtime takes whole: leave out NUL and half characters", "str"
            )
    return np.ascontiguousarray(array).reshape(array.shape)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _convert_array(spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    wanted = DTYPES[spec.dtype]
    if array.dtype.newbyteorder("<") != wanted:  # byte order alone is no difference: it is swapped below
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
    """Return lists, tuples and scalars as an array, if the declared dtype can hold what they say."""
    _refuse_strangers(spec, value)
    wanted = DTYPES[spec.dtype]
    try:
        array = np.array(value)
    except (ValueError, OverflowError) as error:
        _refuse_ragged(spec, value, error)
    if array.size == 0:
        return array.astype(wanted)
    if array.dtype.kind == "O":
        return _convert_objects(spec, array)
    if array.dtype.kind not in "biuf":
        _refuse(spec, f"holds {_name_of(array.dtype)}: {_remedy(spec, array.dtype)}", str(array.dtype))
    if wanted.kind != "f" and array.dtype.kind == "f":
        array = _as_integers(spec, value, array)
    _check_range(spec, array)
    with np.errstate(over="ignore"):
        return array.astype(wanted, order="C")


def _as_integers(spec: TensorSpec, value: Any, array: NDArray[Any]) -> NDArray[Any]:
    """Return what NumPy took for floats as whole numbers, exactly.

    They may be floats that are whole, or integers of which some fit int64 and others uint64 only: NumPy has no
    dtype for such a mixture but float64, which rounds.
    """
    if not (np.isfinite(array).all() and (np.floor(array) == array).all()):
        _refuse(spec, "holds fractions: round them if that is meant", str(array.dtype))
    return np.array([int(item) for item in np.array(value, object).flat], object).reshape(array.shape)


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


def _convert_objects(spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers that are too large for NumPy to choose a dtype; anything else is no number."""
    if not all(isinstance(item, int | float) for item in array.flat):
        odd = next(item for item in array.flat if not isinstance(item, int | float))
        _refuse(spec, f"holds a {type(odd).__name__} among its numbers", type(odd).__name__)
    try:
        as_floats = array.astype(np.float64)
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
