"""The log-mel spectrogram on the GPU: the same as on the CPU, whatever the workgroup."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.recordings import BECKETT, recording
from webinfer import Accelerator
from webinfer.errors import WebinferError
from webinfer.hearing import SHAPES, Workgroup, hear, name
from webinfer.lane import Lane
from webinfer.models.audio import read_audio
from webinfer.models.features import LogMel

EXACT = LogMel()
BRIEF = LogMel(mels=40, window=402, hop=168, seconds=21)  # neither a multiple of four frames nor of four samples


@pytest.fixture(params=[pytest.param(one, marks=pytest.mark.browser(one)) for one in ("embedded", "firefox")])
def accelerator(request: pytest.FixtureRequest, accelerators: Callable[[str], Accelerator]) -> Accelerator:
    return accelerators(request.param)


def lane_of(accelerator: Accelerator) -> Lane:
    accelerator.start()
    pool = accelerator._inner._pool
    assert pool is not None
    return next(iter(pool.lanes.values()))


def test_the_shader_makes_what_the_processor_makes(accelerator: Accelerator) -> None:
    samples, lane = read_audio(recording(BECKETT), EXACT.rate), lane_of(accelerator)
    expected = EXACT(samples)["input_features"]
    for shape in ((64, 1), (256, 1), (8, 8)):
        made, milliseconds = accelerator._portal.call(hear(lane, EXACT, samples, shape))
        np.testing.assert_allclose(made["input_features"], expected, rtol=0, atol=1e-4)
        assert milliseconds > 0


@pytest.mark.browser("embedded")
@pytest.mark.parametrize("shape", SHAPES, ids=name)
def test_every_workgroup_and_cut_gives_the_same(embedded: Accelerator, shape: Workgroup) -> None:
    samples, lane = read_audio(recording(BECKETT), BRIEF.rate), lane_of(embedded)
    made, _ = embedded._portal.call(hear(lane, BRIEF, samples, shape))
    np.testing.assert_allclose(made["input_features"], BRIEF(samples)["input_features"], rtol=0, atol=1e-4)


@pytest.mark.browser("embedded")
def test_a_workgroup_that_the_adapter_cannot_have_is_refused_and_harms_nothing(embedded: Accelerator) -> None:
    samples, lane = np.zeros(100, np.float32), lane_of(embedded)
    with pytest.raises(WebinferError):
        embedded._portal.call(hear(lane, BRIEF, samples, (1024, 1024)))
    made, _ = embedded._portal.call(hear(lane, BRIEF, samples))
    np.testing.assert_allclose(made["input_features"], BRIEF(samples)["input_features"], rtol=0, atol=1e-4)
