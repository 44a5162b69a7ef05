"""How far outputs are from what is right, and what counts as too far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from webinfer.accuracy import record as accuracies
from webinfer.accuracy.comparison import LIMITS, Deviation, compare, limits_for, worst
from webinfer.accuracy.record import Accuracy, canaries, recall, remember
from webinfer.core.errors import OptionError
from webinfer.core.tensors import Signature, TensorSpec
from webinfer.models.preprocessing.vocabulary import Vocabulary

RIGHT = np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32)
FULL = LIMITS["fp32"]


def fault(made: Any, right: Any = RIGHT, name: str = "y", limits: Any = FULL) -> str | None:
    return compare({name: made}, {name: right})[0].beyond(limits)


def test_equal_outputs_are_within_any_limit() -> None:
    (same,) = compare({"y": RIGHT}, {"y": RIGHT})
    assert same.cosine == pytest.approx(1)
    assert (same.largest, same.error, same.strange) == (0, 0, 0)
    assert same.beyond(FULL) is None


def test_a_wrong_scale_is_found_though_the_cosine_is_one() -> None:
    assert "off by 0.05" in (fault(RIGHT * 1.05) or "")


def test_one_wrong_value_is_found_though_the_cosine_is_good() -> None:
    made = RIGHT.copy()
    made[0, 5] += 0.01
    assert "off by 0.01" in (fault(made) or "")


def test_noise_of_another_order_of_summing_is_not_a_fault() -> None:
    noise = np.random.default_rng(0).standard_normal(RIGHT.shape).astype(np.float32)
    assert fault(RIGHT + 1e-5 * noise) is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_found_on_either_side(value: float) -> None:
    strange = RIGHT.copy()
    strange[1, 1] = value
    assert "1 values that are NaN or infinite" in (fault(strange) or "")
    assert "1 values that are NaN or infinite" in (fault(RIGHT, strange) or "")
    assert fault(strange, strange) is None


def test_infinities_of_another_sign_are_found() -> None:
    one, other = RIGHT.copy(), RIGHT.copy()
    one[0, 0], other[0, 0] = np.inf, -np.inf
    assert fault(one, other) is not None


def test_a_missing_output_or_another_shape_is_wrong_in_every_value() -> None:
    assert compare({}, {"y": RIGHT})[0].strange == 64
    assert compare({"y": RIGHT.T}, {"y": RIGHT})[0].strange == 64


def test_ranks_count_for_scores_alone() -> None:
    made = RIGHT * 2
    assert compare({"hidden": made}, {"hidden": RIGHT})[0].top is None
    assert compare({"logits": made}, {"logits": RIGHT})[0].top == 1  # they still rise
    assert compare({"logits": -RIGHT}, {"logits": RIGHT})[0].top == 0


def test_whole_numbers_must_be_equal() -> None:
    ids = np.arange(4000)
    assert fault(np.where(ids < 40, 0, ids), ids, limits=LIMITS[""]) is not None
    assert fault(ids.copy(), ids) is None


def test_the_worst_of_each_measure_counts() -> None:
    (bad,) = worst(
        [[Deviation(output="y", cosine=0.9, error=0.1)], [Deviation(output="y", cosine=1, error=0.3, strange=2)]]
    )
    assert bad == Deviation(output="y", cosine=0.9, error=0.3, strange=2)


def test_limits_follow_the_precision_and_the_callers_own() -> None:
    assert limits_for("q4") == LIMITS[""]
    assert limits_for("fp16", {"*": {"cosine": 0.5}, "fp16": {"error": 1}, "fp32": {"top": 0}}).cosine == 0.5
    assert limits_for("fp16", {"fp16": {"error": 1}}).error == 1
    with pytest.raises(OptionError, match="cosine, error, top, equal"):
        limits_for("fp32", {"fp32": {"cos": 1}})


def test_canaries_of_a_decoder_fit_together() -> None:
    ids = TensorSpec("input_ids", "int64", ("batch", "sequence"))
    mask = TensorSpec("attention_mask", "int64", ("batch", "total"))
    at = TensorSpec("position_ids", "int64", ("batch", "sequence"))
    past = TensorSpec("past_key_values.0.key", "float32", ("batch", 2, "past", 4))
    first, second = canaries(Signature((ids, mask, at, past), ()), Vocabulary("m", ("input_ids",), 7))
    assert first["input_ids"].max() < 7
    assert first["attention_mask"].shape == (1, 19)
    assert first["position_ids"].tolist() == [list(range(3, 19))]
    assert first["past_key_values.0.key"].shape == (1, 2, 3, 4)
    assert not np.array_equal(first["input_ids"], second["input_ids"])


def test_an_outcome_is_kept_for_its_combination_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracies, "cache_dir", lambda: tmp_path)
    about = {"model": "abc", "backend": "webgpu"}
    kept = Accuracy(combination=about, deviations=(Deviation(output="y", cosine=0.5),), reference="1.2", seconds=1.0)
    remember(kept)
    assert recall(about) == kept
    assert recall({**about, "backend": "wasm"}) is None
    (file,) = (tmp_path / "accuracy").iterdir()
    file.write_text("{", encoding="utf-8")
    assert recall(about) is None
