"""The recovery ladder: the smallest step that can help."""

from __future__ import annotations

from typing import get_args

import pytest

from webinfer.pool.plan.recovery import Loss, Step, next_step


@pytest.mark.parametrize(
    ("loss", "lost_gpu", "step"),
    [
        ("lane", False, "new lane"),
        ("device", False, "new lane"),
        ("device", True, "new lane"),
        ("gpu refused", False, "nothing"),
        ("gpu refused", True, "new browser"),
        ("gpu hangs", False, "new browser"),
        ("browser", False, "new browser"),
    ],
)
def test_loss_takes_the_smallest_step_that_can_help(loss: Loss, lost_gpu: bool, step: Step) -> None:
    assert next_step(loss, up=True, lost_gpu=lost_gpu) == step


@pytest.mark.parametrize("loss", ["lane", "device"])
def test_retired_lane_is_stopped_and_not_replaced(loss: Loss) -> None:
    assert next_step(loss, up=True, retired=True) == next_step(loss, up=False, retired=True) == "stop lane"


@pytest.mark.parametrize("loss", get_args(Loss))
@pytest.mark.parametrize("lost_gpu", [False, True])
def test_nothing_is_started_for_a_browser_that_ends(loss: Loss, lost_gpu: bool) -> None:
    assert next_step(loss, up=False, lost_gpu=lost_gpu) in ("nothing", "stop lane")
