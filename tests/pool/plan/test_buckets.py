from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from webinfer.core.tensors import Signature, TensorSpec
from webinfer.pool.plan.buckets import EXACT, FixedShapes, cut_inputs, cuts, fit, misfit, pad, smallest, trim

TEXT = Signature(
    (TensorSpec("input_ids", "int64", ("batch", "seq")), TensorSpec("attention_mask", "int64", ("batch", "seq"))),
    (TensorSpec("hidden", "float32", ("batch", "seq", 4)), TensorSpec("pooled", "float32", ("batch", 4))),
)
IMAGE = Signature((TensorSpec("pixels", "float32", ("n", 3, "h", "w")),), (TensorSpec("logits", "float32", ("n", 10)),))
UNMASKED = Signature(
    (TensorSpec("input_ids", "int64", ("batch", "seq")),), (TensorSpec("hidden", "float32", ("batch", "seq", 4)),)
)
UNBOUND = Signature(TEXT.inputs, (TensorSpec("kept", "float32", ("batch", "new_length")),))


def text(batch: int, seq: int) -> dict[str, Any]:
    return {"input_ids": np.ones((batch, seq), np.int64), "attention_mask": np.ones((batch, seq), np.int64)}


RECURS = Signature((TensorSpec("x", "float32", ("?", 3, "?", "?")),), (TensorSpec("y", "float32", ("?", 3, "?", "?")),))


def test_batch_and_masked_sequence_are_padded_to_powers_of_two() -> None:
    assert dict(fit(TEXT, text(3, 17)).padded) == {"batch": 4, "seq": 32}
    assert dict(fit(TEXT, text(1, 3)).padded) == {"batch": 1, "seq": 16}


def test_only_what_is_allowed_is_padded() -> None:
    assert dict(fit(TEXT, text(3, 17), ["rows"]).padded) == {"batch": 4, "seq": 17}
    assert dict(fit(TEXT, text(3, 17), ["tokens"]).padded) == {"batch": 3, "seq": 32}
    assert fit(TEXT, text(3, 17), ()).exact


def test_shape_is_a_bucket_where_all_its_sizes_are_padded_ones() -> None:
    assert fit(TEXT, text(3, 17)).is_bucket
    assert not fit(TEXT, text(3, 17), ["rows"]).is_bucket
    assert not fit(IMAGE, {"pixels": np.ones((1, 3, 225, 200), np.float32)}).is_bucket


def test_nothing_is_padded_beyond_the_longest_sequence_that_the_model_takes() -> None:
    assert dict(fit(TEXT, text(3, 17), longest=24).padded) == {"batch": 4, "seq": 24}
    assert dict(fit(TEXT, text(1, 17), longest=40).padded) == {"batch": 1, "seq": 32}
    assert dict(fit(TEXT, text(1, 17), longest=10).padded) == {"batch": 1, "seq": 17}
    assert dict(smallest(TEXT, "webnn", longest=10).padded) == {"batch": 1, "seq": 10}


def test_smallest_bucket_is_that_of_one_short_item_and_open_for_images_of_any_size() -> None:
    assert dict(smallest(TEXT, "webnn").padded) == {"batch": 1, "seq": 16}
    assert smallest(TEXT, "wasm") is EXACT
    fixed = Signature((TensorSpec("pixels", "float32", ("n", 3, 8, 8)),), IMAGE.outputs)
    assert dict(smallest(fixed, "webnn").padded) == {"n": 1}
    assert smallest(IMAGE, "webnn") is EXACT
    assert smallest(RECURS, "webnn", (3, 20, 30)) is EXACT
    masked = Signature((*IMAGE.inputs, TensorSpec("mask", "int64", ("n", "h", "w"))), IMAGE.outputs)
    assert dict(smallest(masked, "webnn", (3, 20, 30)).padded) == {"n": 1, "h": 20, "w": 30}


def test_sequence_without_a_mask_keeps_its_size() -> None:
    assert dict(fit(UNMASKED, {"input_ids": np.ones((3, 17), np.int64)}).padded) == {"batch": 4, "seq": 17}


def test_sequence_keeps_its_size_where_an_output_could_not_be_trimmed() -> None:
    assert dict(fit(UNBOUND, text(3, 17)).padded)["seq"] == 17


def test_image_sizes_are_never_padded() -> None:
    how = fit(IMAGE, {"pixels": np.ones((1, 3, 225, 200), np.float32)})
    assert dict(how.padded) == {"n": 1, "h": 225, "w": 200}


def test_name_of_unequal_sizes_says_nothing() -> None:
    assert fit(RECURS, {"x": np.ones((1, 3, 48, 192), np.float32)}).sizes == ()
    two = Signature(
        (TensorSpec("a", "float32", ("n", 4)), TensorSpec("b", "float32", ("n", "m"))),
        (TensorSpec("y", "float32", ("n", 4)),),
    )
    tensors = {"a": np.ones((3, 4), np.float32), "b": np.ones((1, 7), np.float32)}
    assert fit(two, tensors).padded == (("m", 7),)
    assert dict(fit(two, {**tensors, "b": np.ones((3, 7), np.float32)}).padded) == {"n": 4, "m": 7}


def test_no_rows_are_not_padded() -> None:
    assert fit(UNMASKED, {"input_ids": np.ones((0, 17), np.int64)}).exact


def test_padding_repeats_the_last_row_and_masks_what_it_adds() -> None:
    given_inputs = {"input_ids": np.array([[5, 6, 7]]), "attention_mask": np.array([[1, 1, 1]])}
    inputs = {name: np.repeat(array, 3, 0) for name, array in given_inputs.items()}
    how = fit(TEXT, inputs)
    padded = pad(TEXT, inputs, how)
    assert padded["input_ids"].shape == padded["attention_mask"].shape == (4, 16)
    assert padded["attention_mask"][3].tolist() == [1, 1, 1] + [0] * 13
    assert padded["input_ids"][3].tolist() == [5, 6, 7] + [0] * 13
    for name, array in cut_inputs(TEXT, padded, how).items():
        np.testing.assert_array_equal(array, inputs[name])


@given(st.integers(1, 9), st.integers(1, 70))
def test_trim_undoes_padding(batch: int, seq: int) -> None:
    how = fit(TEXT, text(batch, seq))
    how = replace(
        how, cuts=cuts(TEXT, {"rows": {"hidden": (0,), "pooled": (0,)}, "tokens": {"hidden": (1,), "pooled": ()}})
    )
    sizes = dict(how.padded)
    outputs = {
        "hidden": np.arange(sizes["batch"] * sizes["seq"] * 4, dtype=np.float32).reshape(
            sizes["batch"], sizes["seq"], 4
        ),
        "pooled": np.zeros((sizes["batch"], 4), np.float32),
    }
    assert misfit(outputs, how) is None
    cut = trim(outputs, how)
    assert cut["hidden"].shape == (batch, seq, 4)
    assert cut["pooled"].shape == (batch, 4)
    np.testing.assert_array_equal(cut["hidden"], outputs["hidden"][:batch, :seq])
    assert sizes["batch"] < 2 * batch
    assert sizes["seq"] < max(2 * seq, 17)


def test_outputs_are_cut_along_the_axes_that_padding_made_longer_and_no_others() -> None:
    how = replace(fit(TEXT, text(3, 17)), cuts={"hidden": ((0, "batch"),)})
    outputs = {"hidden": np.ones((4, 32, 4), np.float32), "pooled": np.ones((4, 4), np.float32)}
    cut = trim(outputs, how)
    assert (cut["hidden"].shape, cut["pooled"].shape) == ((3, 32, 4), (4, 4))


def test_output_of_another_size_than_padding_gives_it_does_not_fit() -> None:
    how = replace(fit(TEXT, text(3, 17)), cuts={"hidden": ((0, "batch"), (1, "seq"))})
    assert "hidden" in str(misfit({"hidden": np.ones((4, 31, 4), np.float32)}, how))
    assert "hidden" in str(misfit({"hidden": np.ones((4,), np.float32)}, how))


def shape(width: int) -> tuple[tuple[str, int], ...]:
    return (("w", width),)


def test_first_shapes_have_sessions_and_later_ones_only_when_they_come_back() -> None:
    shapes = FixedShapes()
    assert all(shapes.admit(shape(width)) for width in range(FixedShapes.LIMIT))
    answers = [shapes.admit(shape(100)) for _ in range(FixedShapes.RETURNS)]
    assert answers == [False] * (FixedShapes.RETURNS - 1) + [True]
    assert shapes.surplus() == [shape(0)]


def test_what_was_used_longest_ago_gives_way() -> None:
    shapes = FixedShapes()
    for width in (*range(FixedShapes.LIMIT), 0):
        shapes.admit(shape(width))
    assert shapes.admit(shape(100), at_once=True)
    assert shapes.surplus() == [shape(1)]
    shapes.drop(shape(1))
    assert shapes.surplus() == []
    assert shape(1) not in shapes
    assert shape(0) in shapes


def test_ever_new_shapes_take_no_more_room() -> None:
    shapes = FixedShapes()
    for width in range(10_000):
        shapes.admit(shape(width))
    assert repr(shapes) == "<FixedShapes 8 and 64 without>"
