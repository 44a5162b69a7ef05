"""What tests of models on several arms share."""

from __future__ import annotations

import pytest

from webinfer.api.adaptive_model import LearnedModel
from webinfer.inference.model import AsyncModel
from webinfer.pool.learning.bandit import Arm


def always_promising(model: LearnedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an arm promise everything once it is ready, however slow its rehearsal was."""
    rehearse = model._rehearse

    async def forget(arm: Arm, other: AsyncModel) -> None:
        await rehearse(arm, other)
        model.learning.records.pop(arm)

    monkeypatch.setattr(model, "_rehearse", forget)
