"""Every keyword about time changes the limit that a late request is told of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compat.models import SLOW
from webinfer.compat import EnhancedWebModel, IPFSAccelerateWebIntegration
from webinfer.core.errors import DeadlineExceeded, OptionError
from webinfer.core.options import Options

BASE = Options().run_timeout or 0.0
SMALL = {"turns": [20_000], "features": [0.0]}  # minutes of work
LARGE = {"turns": [20_000], "features": np.zeros(300_000, np.float32)}  # 1.2 MB
HUNDREDTH = 0.05 / BASE  # makes the limit 50 ms

pytestmark = pytest.mark.browser("embedded")


def limit(model: EnhancedWebModel, inputs: Any = SMALL) -> float:
    """Return the limit, in multiples of 50 ms, that a run of minutes was held to."""
    with pytest.raises(DeadlineExceeded) as caught:
        model(inputs)
    return float(caught.value.data["timeout"]) / 0.05


@pytest.fixture
def slow(integration: IPFSAccelerateWebIntegration) -> EnhancedWebModel:
    return integration.get_model(SLOW, platform="cpu")


@pytest.mark.parametrize(
    ("keywords", "small", "large"),
    [
        ({}, 1, 1),
        ({"timeout_multiplier": 2}, 2, 2),
        ({"enable_input_size_detection": True}, 1, 2),
        ({"large_input_timeout_multiplier": 3}, 1, 3),
        ({"large_input_timeout_multiplier": 3, "enable_input_size_detection": False}, 1, 1),
    ],
)
def test_keyword_changes_the_limit(
    embedded: None, named_models: Path, keywords: dict[str, Any], small: float, large: float
) -> None:
    with IPFSAccelerateWebIntegration(inference_timeout_multiplier=HUNDREDTH, **keywords) as integration:
        model = integration.get_model(SLOW, platform="cpu")
        assert limit(model) == pytest.approx(small)
        assert limit(model, LARGE) == pytest.approx(large)
        assert limit(model, [SMALL, LARGE]) == pytest.approx(large), (
            "requests that wait for each other share the longest"
        )


def test_family_changes_the_limit(integration: IPFSAccelerateWebIntegration, slow: EnhancedWebModel) -> None:
    assert slow.model_type == "audio"
    integration.configure_model_timeouts({"audio": HUNDREDTH, "vision": 2 * HUNDREDTH, "text": 3 * HUNDREDTH})
    assert limit(slow) == pytest.approx(1)
    for family, expected in (("vision", 2), ("text", 3), ("text_generation", 3)):
        assert limit(integration.get_model(SLOW, model_type=family, platform="cpu")) == pytest.approx(expected)
    integration.configure_model_timeouts({"text_generation": 4 * HUNDREDTH})
    assert limit(slow) == pytest.approx(4), "a family's own factor goes before its group's"


@pytest.mark.parametrize(
    ("factors", "message"), [({"visoin": 2.0}, "Did you mean 'vision'"), ({"audio": 0}, "audio must be above 0")]
)
def test_factor_that_cannot_be_is_refused(
    integration: IPFSAccelerateWebIntegration, factors: dict[str, float], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        integration.configure_model_timeouts(factors)
