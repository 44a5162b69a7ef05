"""Of several precisions that the caller allows, the first that the backend can run is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from webinfer import AsyncAccelerator
from webinfer.core.errors import OptionError

pytestmark = [pytest.mark.browser("embedded"), pytest.mark.timeout(300)]

IDS = {"ids": np.array([[0, 199, 7, 64, 3, 5]], np.int64)}


async def test_next_precision_is_taken_where_the_first_cannot_be_run(network: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        model = await accelerator.load(network, platform="webnn", precision=["int8", "q8"])
        result = await model.run(IDS)
    assert result.precision == "q8"
    assert "answers wrongly" in str(result.reason)


@pytest.mark.parametrize("wrong", [[], ["q8", "q8"]], ids=["none", "twice"])
async def test_precisions_must_be_different_ones(network: Path, wrong: list[str]) -> None:
    accelerator = AsyncAccelerator(browser="embedded")
    with pytest.raises(OptionError, match="precision must name"):
        await accelerator.load(network, precision=wrong)
    with pytest.raises(OptionError, match="precision must name"):
        await accelerator.pipeline("fill-mask", network, precision=wrong)
    assert not (await accelerator.snapshot()).browsers
    await accelerator.close()
