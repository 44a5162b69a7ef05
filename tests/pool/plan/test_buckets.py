from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webinfer.core.options import Backend
from webinfer.core.tensors import Signature, TensorSpec
from webinfer.pool.plan.buckets import EXACT, fit, pad, smallest, trim

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


@pytest.mark.parametrize("backend", ["webgpu", "webnn"])
def test_batch_and_masked_sequence_are_padded_to_powers_of_two(backend: Backend) -> None:
    how = fit(TEXT, text(3, 17), backend)
    assert dict(how.padded) == {"batch": 4, "seq": 32}
    assert dict(fit(TEXT, text(1, 3), backend).padded) == {"batch": 1, "seq": 16}


def test_nothing_is_padded_beyond_the_longest_sequence_that_the_model_takes() -> None:
    assert dict(fit(TEXT, text(3, 17), "webgpu", 24).padded) == {"batch": 4, "seq": 24}
    assert dict(fit(TEXT, text(1, 17), "webgpu", 40).padded) == {"batch": 1, "seq": 32}
    assert dict(fit(TEXT, text(1, 17), "webgpu", 10).padded) == {"batch": 1, "seq": 17}
    assert dict(smallest(TEXT, "webnn", longest=10).padded) == {"batch": 1, "seq": 10}


def test_smallest_bucket_is_that_of_one_short_item_and_open_for_images_of_any_size() -> None:
    assert dict(smallest(TEXT, "webnn").padded) == {"batch": 1, "seq": 16}
    fixed = Signature((TensorSpec("pixels", "float32", ("n", 3, 8, 8)),), IMAGE.outputs)
    assert dict(smallest(fixed, "webnn").padded) == {"n": 1}
    assert smallest(IMAGE, "webnn") is EXACT
    masked = Signature((*IMAGE.inputs, TensorSpec("mask", "int64", ("n", "h", "w"))), IMAGE.outputs)
    assert dict(smallest(masked, "webnn", (3, 20, 30)).padded) == {"n": 1, "h": 20, "w": 30}


def test_nothing_is_padded_on_wasm() -> None:
    assert fit(TEXT, text(3, 17), "wasm").exact


def test_sequence_without_a_mask_keeps_its_size() -> None:
    how = fit(UNMASKED, {"input_ids": np.ones((3, 17), np.int64)}, "webnn")
    assert dict(how.padded) == {"batch": 4, "seq": 17}


def test_sequence_keeps_its_size_where_an_output_could_not_be_trimmed() -> None:
    assert dict(fit(UNBOUND, text(3, 17), "webnn").padded)["seq"] == 17


def test_image_sizes_are_never_padded() -> None:
    how = fit(IMAGE, {"pixels": np.ones((1, 3, 225, 200), np.float32)}, "webnn")
    assert dict(how.padded) == {"n": 1, "h": 225, "w": 200}


def test_padding_repeats_the_last_row_and_masks_what_it_adds() -> None:
    given_inputs = {"input_ids": np.array([[5, 6, 7]]), "attention_mask": np.array([[1, 1, 1]])}
    how = fit(TEXT, {name: np.repeat(array, 3, 0) for name, array in given_inputs.items()}, "webnn")
    padded = pad(TEXT, {name: np.repeat(array, 3, 0) for name, array in given_inputs.items()}, how)
    assert padded["input_ids"].shape == padded["attention_mask"].shape == (4, 16)
    assert padded["attention_mask"][3].tolist() == [1, 1, 1] + [0] * 13
    assert padded["input_ids"][3].tolist() == [5, 6, 7] + [0] * 13


@given(st.integers(1, 9), st.integers(1, 70))
def test_trim_undoes_padding(batch: int, seq: int) -> None:
    how = fit(TEXT, text(batch, seq), "webnn")
    sizes = dict(how.padded)
    outputs = {
        "hidden": np.arange(sizes["batch"] * sizes["seq"] * 4, dtype=np.float32).reshape(
            sizes["batch"], sizes["seq"], 4
        ),
        "pooled": np.zeros((sizes["batch"], 4), np.float32),
    }
    cut = trim(TEXT, outputs, how)
    assert cut["hidden"].shape == (batch, seq, 4)
    assert cut["pooled"].shape == (batch, 4)
    np.testing.assert_array_equal(cut["hidden"], outputs["hidden"][:batch, :seq])
    assert sizes["batch"] < 2 * batch
    assert sizes["seq"] < max(2 * seq, 17)
