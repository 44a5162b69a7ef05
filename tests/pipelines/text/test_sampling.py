"""Tokens are chosen as asked, and become text as soon as they are text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from webinfer.core.errors import OptionError
from webinfer.pipelines.text.sampling import Sampling

LOGITS = np.log(np.array([0.1, 0.4, 0.05, 0.3, 0.15], np.float32))
NOTHING = np.zeros(0, np.int64)


def considered(**how: Any) -> dict[int, Any]:
    order, chances = Sampling(do_sample=True, **how).distribution(LOGITS)
    return {int(token): pytest.approx(float(chance)) for token, chance in zip(order, chances, strict=True)}


def test_greedy_takes_the_likeliest_and_no_chance() -> None:
    chance = np.random.default_rng(0)
    before = chance.bit_generator.state
    assert Sampling(temperature=3, top_k=2).choose(LOGITS, NOTHING, chance) == 1
    assert chance.bit_generator.state == before


def test_top_k_and_top_p_leave_the_likeliest() -> None:
    assert considered() == {1: 0.4, 3: 0.3, 4: 0.15, 0: 0.1, 2: 0.05}
    assert considered(top_k=2) == {1: 4 / 7, 3: 3 / 7}
    assert considered(top_p=0.5) == {1: 4 / 7, 3: 3 / 7}
    assert considered(top_p=0.75) == {1: 0.4 / 0.85, 3: 0.3 / 0.85, 4: 0.15 / 0.85}
    assert considered(top_p=0.01) == {1: 1.0}


def test_temperature_is_a_power_of_the_chances() -> None:
    cold = np.array([0.4, 0.3]) ** 2
    assert considered(temperature=0.5, top_k=2) == {1: cold[0] / cold.sum(), 3: cold[1] / cold.sum()}


def test_tokens_come_as_often_as_they_are_probable() -> None:
    chance = np.random.default_rng(3)
    drawn = [Sampling(do_sample=True).choose(LOGITS, NOTHING, chance) for _ in range(4000)]
    np.testing.assert_allclose(np.bincount(drawn) / 4000, np.exp(LOGITS), atol=0.03)


def test_tokens_that_occurred_are_less_likely_whatever_their_sign() -> None:
    logits = np.array([2.0, 1.9, -1.0, -1.1], np.float32)
    sampling = Sampling(repetition_penalty=1.2)
    chance = np.random.default_rng(0)
    assert sampling.choose(logits, np.array([0, 0, 2]), chance) == 1
    assert sampling.choose(logits[2:], np.array([0]), chance) == 1
    assert logits.tolist() == pytest.approx([2.0, 1.9, -1.0, -1.1])


@pytest.mark.parametrize(
    "how", [{"temperature": 0}, {"top_k": -1}, {"top_p": 0}, {"top_p": 1.5}, {"repetition_penalty": 0}]
)
def test_what_cannot_be_is_refused(how: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=next(iter(how))):
        Sampling(**how)  # type: ignore[arg-type]
