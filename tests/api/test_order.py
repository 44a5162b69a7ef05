"""What a caller asks for, and what may be taken in its place."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from webinfer.api.order import Order, allowed
from webinfer.core.errors import OptionError


def package(precision: str) -> Any:
    return SimpleNamespace(precision=precision)


@pytest.mark.parametrize(
    ("precision", "expected"),
    [(None, (None, ())), ("q4", ("q4", ())), (["q4", "fp16", "fp32"], ("q4", ("fp16", "fp32")))],
)
def test_precisions_are_a_first_one_and_others(precision: Any, expected: Any) -> None:
    assert allowed(precision) == expected


@pytest.mark.parametrize("precision", [[], ["q4", "q4"], ["q5"]])
def test_precisions_that_cannot_be_are_refused(precision: list[str]) -> None:
    with pytest.raises(OptionError):
        allowed(precision)


@pytest.mark.parametrize("field", [{"platform": "cuda"}, {"require": "nothing"}])
def test_unknown_platform_or_requirement_is_refused(field: Any) -> None:
    with pytest.raises(OptionError):
        Order("m", **field)


def test_precisions_that_the_caller_named_come_before_the_fallback() -> None:
    order = Order("m", precision="q4", fallback=True, others=("fp16",))
    assert order.instead(package("q4")) == "fp16"
    assert order.lowered("fp16", "no kernel").instead(package("fp16")) == "fp32"


@pytest.mark.parametrize(("precision", "fallback"), [("q4", False), (None, True)])
def test_nothing_is_taken_in_place_without_leave(precision: str | None, fallback: bool) -> None:
    assert Order("m", precision=precision, fallback=fallback).instead(package("q4")) is None


def test_lowered_order_says_why_each_precision_was_lost() -> None:
    order = Order("m", precision="q4", others=("q8", "fp32")).lowered("q8", "q4 failed").lowered("fp32", "q8 failed")
    assert (order.precision, order.others, order.lost) == ("fp32", (), "q4 failed; q8 failed")


def test_wrong_answers_are_replaced_by_the_next_precision_then_the_full_one() -> None:
    assert Order("m", precision="q4").finer(package("q4"))[-1] == "fp32"
    assert Order("m").finer(package("fp32")) == ("fp32",)
