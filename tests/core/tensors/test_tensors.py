"""Inputs are made to fit a model's signature, or refused by name."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from webinfer.core.errors import DtypeMismatch, EmptyBatch, InputError, MissingInput, ShapeMismatch, UnknownInput
from webinfer.core.tensors import DTYPES, Signature, TensorSpec, prepare

TOKENS = ("batch", "sequence")
BERT = Signature(
    tuple(TensorSpec(name, "int64", TOKENS) for name in ("input_ids", "attention_mask", "token_type_ids")),
    (TensorSpec("last_hidden_state", "float32", (*TOKENS, 4)),),
)
DECODER = Signature(
    (
        TensorSpec("input_ids", "int64", TOKENS),
        TensorSpec("attention_mask", "int64", ("batch", "total")),
        TensorSpec("position_ids", "int64", TOKENS),
        TensorSpec("past_key_values.0.key", "float32", ("batch", 2, "past", 4)),
    ),
    (),
)


def one(dtype: str, *shape: int | str | None) -> Signature:
    return Signature((TensorSpec("x", dtype, shape),), ())


def test_fitting_arrays_pass_without_a_copy() -> None:
    inputs = {spec.name: np.ones((2, 3), np.int64) for spec in BERT.inputs}
    prepared = prepare(BERT, dict(reversed(inputs.items())))
    assert list(prepared) == ["input_ids", "attention_mask", "token_type_ids"]
    assert all(prepared[name] is array for name, array in inputs.items())


NUMBERS = sorted({*DTYPES} - {"string"})


@settings(deadline=None)
@given(st.data(), st.sampled_from(NUMBERS))
def test_every_dtype_comes_through_unchanged_however_it_is_laid_out(data: st.DataObject, dtype: str) -> None:
    array = data.draw(arrays.arrays(DTYPES[dtype], arrays.array_shapes(min_dims=2, max_dims=3, max_side=4)))
    signature = one(dtype, *(f"d{axis}" for axis in range(array.ndim)))
    variants = [
        array,
        array.astype(array.dtype.newbyteorder(">")),
        np.asfortranarray(array),
        np.repeat(array, 2, 0)[::2],
    ]
    for variant in variants:
        prepared = prepare(signature, {"x": variant})["x"]
        np.testing.assert_array_equal(prepared, array, strict=True)
        assert prepared.flags.c_contiguous
        assert prepared.dtype == DTYPES[dtype]


@settings(deadline=None)
@given(st.data(), st.sampled_from(NUMBERS))
def test_every_dtype_comes_through_unchanged_as_a_nested_list(data: st.DataObject, dtype: str) -> None:
    array = data.draw(arrays.arrays(DTYPES[dtype], arrays.array_shapes(min_dims=1, max_dims=3, max_side=4)))
    signature = one(dtype, *(f"d{axis}" for axis in range(array.ndim)))
    np.testing.assert_array_equal(prepare(signature, {"x": array.tolist()})["x"], array, strict=True)


@settings(deadline=None)
@given(
    st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=4),
    st.sampled_from([name for name, dtype in DTYPES.items() if dtype.kind in "iu"]),
)
def test_whole_numbers_are_taken_exactly_or_refused(numbers: list[int], dtype: str) -> None:
    limits = np.iinfo(DTYPES[dtype])
    if all(limits.min <= number <= limits.max for number in numbers):
        assert prepare(one(dtype, "n"), {"x": numbers})["x"].tolist() == numbers
    else:
        with pytest.raises(DtypeMismatch, match="does not hold"):
            prepare(one(dtype, "n"), {"x": numbers})


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("float32", [1, 2], [1.0, 2.0]),
        ("float32", [True, False], [1.0, 0.0]),
        ("float32", [2**70], [2.0**70]),
        ("float16", [0.1, float("nan"), float("inf")], [0.1, float("nan"), float("inf")]),
        ("int64", [1.0, -2.0], [1, -2]),
        ("uint64", [[2**63 + 1, 0], [2**64 - 1, 1]], [[2**63 + 1, 0], [2**64 - 1, 1]]),
        ("int64", [2.0**53, 2**53 + 1], [2**53, 2**53 + 1]),
        ("int32", [True], [1]),
        ("bool", [1, 0], [True, False]),
        ("float32", (1.5, 2), [1.5, 2]),
        ("float32", [np.float64(1.5), np.float32(2)], [1.5, 2]),
        ("float32", [np.ones(2), np.zeros(2)], [[1, 1], [0, 0]]),
        ("int64", 7, [7]),
        ("float32", np.float64(0.5), [0.5]),
        ("bool", True, [True]),
    ],
)
def test_lists_and_scalars_take_the_declared_dtype(dtype: str, value: Any, expected: Any) -> None:
    rank = np.ndim(expected)
    prepared = prepare(one(dtype, *"abc"[:rank]), {"x": value})["x"]
    np.testing.assert_array_equal(prepared, np.array(expected, DTYPES[dtype]), strict=True)


@pytest.mark.parametrize(
    ("dtype", "value", "why"),
    [
        ("float32", [[1, 2], [3]], "ragged.*lengths.*1, 2"),
        ("float32", [1, [2]], "ragged"),
        ("float32", "a text", "is text.*tokenizer"),
        ("float32", b"bytes", "is text"),
        ("int64", ["a", "b"], "holds text.*tokenizer"),
        ("float32", [b"a"], "holds bytes"),
        ("float32", None, "None.*leave the name out"),
        ("float32", [1.0, None], "NoneType"),
        ("float32", {"a": 1}, "is a dict"),
        ("float32", {1.0, 2.0}, "is a set"),
        ("float32", [1j], "complex"),
        ("int64", [1.5], "fractions"),
        ("int64", [float("nan")], "fractions"),
        ("uint8", [256], "holds 256.*0 to 255"),
        ("uint8", [-1], "holds -1"),
        ("int64", [2**63], "does not hold"),
        ("int64", [2**63, -1], "does not hold"),
        ("int64", [2**70], "does not hold"),
        ("bool", [2], "holds 2"),
        ("bool", [0.5], "fractions"),
        ("float16", [65520.0], "float16 does not hold"),
        ("float32", [1e39], "float32 does not hold"),
        ("float32", [2**200], "float32 does not hold"),
        ("float32", [10**400], "does not hold|no dtype holds"),
    ],
)
def test_values_that_the_dtype_cannot_hold_are_refused(dtype: str, value: Any, why: str) -> None:
    with pytest.raises(DtypeMismatch, match=why) as caught:
        prepare(one(dtype, "n"), {"x": value})
    assert "'x'" in str(caught.value)
    assert caught.value.data["expected"] == dtype


@pytest.mark.parametrize(
    ("dtype", "array"),
    [
        ("int64", np.array([1, 2], np.int32)),
        ("int32", np.array([1, 2], np.int64)),
        ("uint8", np.array([255], np.int64)),
        ("float32", np.array([0.1], np.float64)),
        ("float16", np.array([0.1, np.inf], np.float32)),
        ("float64", np.array([0.1], np.float16)),
    ],
)
def test_arrays_are_converted_within_their_kind(dtype: str, array: Any) -> None:
    prepared = prepare(one(dtype, "n"), {"x": array})["x"]
    np.testing.assert_array_equal(prepared, array.astype(DTYPES[dtype]), strict=True)


@pytest.mark.parametrize(
    ("dtype", "array", "why"),
    [
        ("float32", np.array([1]), r"float32 and got an array of int64.*\.astype\(np\.float32\)"),
        ("int64", np.array([1.0]), r"\.astype\(np\.int64\)"),
        ("int64", np.array([True]), r"\.astype\(np\.int64\)"),
        ("bool", np.array([1]), r"\.astype\(np\.bool_\)"),
        ("float32", np.array([1, None]), "array of objects"),
        ("float32", np.array(["a"]), "array of text.*tokenizer"),
        ("float32", np.array([1j]), "real"),
        ("float32", np.array(["2020-01-01"], "M8[D]"), "datetime"),
        ("uint8", np.array([256]), "holds 256"),
        ("int64", np.array([2**63], np.uint64), "does not hold"),
        ("float16", np.array([1e6], np.float32), "does not hold"),
    ],
)
def test_arrays_of_another_kind_are_refused_with_the_remedy(dtype: str, array: Any, why: str) -> None:
    with pytest.raises(DtypeMismatch, match=why):
        prepare(one(dtype, "n"), {"x": array})


def test_missing_batch_axis_is_added() -> None:
    prepared = prepare(BERT, {"input_ids": [5, 6, 7], "attention_mask": np.array([1, 1, 1])})
    assert {name: array.shape for name, array in prepared.items()} == dict.fromkeys(prepared, (1, 3))


@pytest.mark.parametrize("value", [1.0, np.zeros((1, 1, 2, 2)), [[[[1.0]]]]])
def test_another_rank_is_refused(value: Any) -> None:
    with pytest.raises(
        ShapeMismatch, match=r"'x' has 3 dimensions \(x: float32\[batch, 2, \?\]\) and got \d"
    ) as caught:
        prepare(one("float32", "batch", 2, None), {"x": value})
    assert caught.value.data["expected"] == ["batch", 2, None]


def test_another_dimension_is_refused_by_name() -> None:
    with pytest.raises(ShapeMismatch, match=r"'x' must be 3 at dimension 1 and is 4.*\(2, 4\)"):
        prepare(one("float32", "batch", 3), {"x": np.zeros((2, 4), np.float32)})


def test_name_of_a_dimension_says_nothing_of_its_size() -> None:
    """onnxruntime does not hold sizes of one name against each other, and some exporters name all alike."""
    inputs = {spec.name: np.ones((1, 3), np.int64) for spec in BERT.inputs} | {
        "token_type_ids": np.ones((2, 3), np.int64)
    }
    assert prepare(BERT, inputs)["token_type_ids"].shape == (2, 3)
    for name in ("n", "?", "None", "-1"):
        assert prepare(one("float32", name, name), {"x": np.zeros((2, 3), np.float32)})["x"].shape == (2, 3)
        assert prepare(one("float32", name, name), {"x": [[1, 2, 3], [4, 5, 6]]})["x"].shape == (2, 3)


def test_unstated_dimensions_and_ranks_take_everything() -> None:
    assert prepare(one("float32", None, None), {"x": np.zeros((2, 3), np.float32)})["x"].shape == (2, 3)
    anything = Signature((TensorSpec("x", "float32", (), ranked=False),), ())
    for shape in ((), (2,), (2, 3, 4)):
        assert prepare(anything, {"x": np.zeros(shape, np.float32)})["x"].shape == shape


def test_scalar_inputs_take_scalars() -> None:
    assert prepare(one("float32"), {"x": 2})["x"].shape == ()


@pytest.mark.parametrize("value", [[], np.zeros((0, 4), np.float32)])
def test_no_items_are_refused(value: Any) -> None:
    with pytest.raises(EmptyBatch, match="'x' has no items"):
        prepare(one("float32", *("batch", 4)[: np.ndim(value)]), {"x": value})


def test_empty_past_is_no_empty_batch() -> None:
    prepared = prepare(DECODER, {"input_ids": [[1, 2]], "past_key_values.0.key": np.zeros((1, 2, 0, 4), np.float32)})
    assert prepared["past_key_values.0.key"].shape == (1, 2, 0, 4)
    assert prepared["attention_mask"].tolist() == [[1, 1]]


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(
        UnknownInput, match=r"'input_idz'. Did you mean 'input_ids'\? It takes input_ids: int64\["
    ) as caught:
        prepare(BERT, {"input_idz": [1]})
    assert caught.value.data["known"] == ["input_ids", "attention_mask", "token_type_ids"]


def test_missing_input_is_named() -> None:
    with pytest.raises(MissingInput, match="Missing input 'input_ids', 'token_type_ids'"):
        prepare(BERT, {"attention_mask": [1]})
    with pytest.raises(MissingInput, match="past_key_values"):
        prepare(DECODER, {"input_ids": [[1]]})


def test_mask_and_types_follow_from_the_ids() -> None:
    prepared = prepare(BERT, {"input_ids": [[5, 6], [7, 8]]})
    assert prepared["attention_mask"].tolist() == [[1, 1], [1, 1]]
    assert prepared["token_type_ids"].tolist() == [[0, 0], [0, 0]]
    assert prepared["token_type_ids"].dtype == np.int64


def test_positions_are_counted_along_the_mask_and_past() -> None:
    inputs = {
        "input_ids": [[9], [9]],
        "attention_mask": [[0, 0, 1, 1], [1, 1, 1, 1]],
        "past_key_values.0.key": np.zeros((2, 2, 3, 4), np.float32),
    }
    assert prepare(DECODER, inputs)["position_ids"].tolist() == [[1], [3]]
    padded = {"input_ids": [[0, 0, 9]], "attention_mask": [[0, 0, 1]], "past_key_values.0.key": np.zeros((1, 2, 0, 4))}
    assert prepare(DECODER, padded)["position_ids"].tolist() == [[1, 1, 0]]
    unmasked = {"input_ids": [[9]], "past_key_values.0.key": np.zeros((1, 2, 3, 4), np.float32)}
    prepared = prepare(DECODER, unmasked)
    assert prepared["attention_mask"].shape == (1, 4)
    assert prepared["position_ids"].tolist() == [[3]]


def test_bare_value_goes_to_the_only_required_input() -> None:
    assert prepare(BERT, [1, 2])["input_ids"].tolist() == [[1, 2]]
    with pytest.raises(MissingInput, match="takes 2 inputs, so each needs its name"):
        prepare(DECODER, [1, 2])
    with pytest.raises(DtypeMismatch, match="is text"):
        prepare(BERT, "text")


def test_foreign_tensors_are_taken() -> None:
    class Foreign:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.arange(3, dtype=np.float32)

    assert prepare(one("float32", "n"), {"x": Foreign()})["x"].tolist() == [0, 1, 2]


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(JUNK, st.sampled_from(sorted(DTYPES)))
def test_junk_is_taken_or_refused_but_never_crashes(junk: Any, dtype: str) -> None:
    with contextlib.suppress(InputError):
        prepared = prepare(one(dtype, "batch", "n"), {"x": junk})
        assert prepared["x"].dtype == DTYPES[dtype]
        assert prepared["x"].ndim == 2


@pytest.mark.parametrize(
    "value", [["a", "zwölf"], np.array(["a", "zwölf"]), np.array(["a", "zwölf"], object), ("a", "zwölf")]
)
def test_text_comes_through_for_an_input_of_strings(value: Any) -> None:
    prepared = prepare(Signature((TensorSpec("x", "string", ("n",)),), ()), {"x": value})["x"]
    assert prepared.dtype == object
    assert prepared.tolist() == ["a", "zwölf"]


@pytest.mark.parametrize(
    "value",
    [[1], ["a", None], [b"a"], ["a\0b"], ["\ud800"], np.arange(2), np.array(["a", 1], object), [["a"], ["b", "c"]]],
)
def test_what_is_no_text_is_refused_for_an_input_of_strings(value: Any) -> None:
    with pytest.raises(InputError):
        prepare(Signature((TensorSpec("x", "string", ("n",)),), ()), {"x": value})
