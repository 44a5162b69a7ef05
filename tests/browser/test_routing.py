"""Without a tuning the caller or the table decides, and nothing is tried on live requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from webinfer import AsyncAccelerator

pytestmark = [pytest.mark.browser("embedded"), pytest.mark.timeout(300)]

X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8)


@pytest.mark.parametrize(
    ("options", "platform", "by"), [({}, "wasm", "caller"), ({"routing": "table"}, None, "table"), ({}, None, "table")]
)
async def test_every_request_goes_where_the_caller_or_the_table_says(
    perceptron: Path, options: dict[str, Any], platform: Any, by: str
) -> None:
    async with AsyncAccelerator(browser="embedded", **options) as accelerator:
        model = await accelerator.load(perceptron, platform=platform)
        results = [await model.run({"x": X}) for _ in range(100)]
        lanes = [lane for browser in (await accelerator.snapshot()).browsers for lane in browser.lanes]
    assert {(result.chosen_by, result.backend, result.lane) for result in results} == {
        (by, model.backend, results[0].lane)
    }
    assert [len(lane.sessions) for lane in lanes] == [1], "nothing else was loaded"
    decision = results[0].decision
    assert decision is not None
    assert decision.source == {"caller": "override", "table": "table"}[by]
    assert {candidate.place: candidate.why_not for candidate in decision.candidates}[decision.taken] is None
    assert len(decision.candidates) > 1
    assert decision.reason
