"""The timed kernel on the adapters that are there: what it measures, and that words of software stand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from webinfer import Accelerator
from webinfer.core.capabilities.verdict import Adapter
from webinfer.core.errors import SoftwareAdapter


@pytest.mark.browser
@pytest.mark.parametrize("browser", ["embedded", "firefox"])
def test_adapter_is_timed_once_and_its_words_stand(
    accelerators: Callable[[str], Accelerator], perceptron: Path, browser: str
) -> None:
    accelerator = accelerators(browser)
    with accelerator.load(perceptron, platform="webgpu") as model:
        pool, lane = model.inner._pool, model.load().lane
        said = pool.lanes[lane].verdict("webgpu")
        began = time.monotonic()
        verdict = model.prove_hardware()
        taken = time.monotonic() - began
        speeds = pool.lanes[lane].capabilities.speeds
        assert speeds is not None
        assert speeds.cpu is not None
        assert min(*speeds.gpu, *speeds.cpu) > 0.01
        assert taken < 60  # a second, and what a busy machine adds to it
        assert verdict.kind == said.kind or said.kind == "unproven"
        if verdict.kind == "software":
            assert "could do that" in " ".join(verdict.evidence)
        assert "a timed kernel does" in " ".join(verdict.evidence)
        # It runs models as before, whose results carry the figures.
        result = model.run({"x": np.ones((1, 8), np.float32)})
        assert result.verdict.evidence == verdict.evidence
        # A second time nothing is measured.
        assert model.prove_hardware() == verdict
        assert pool.lanes[lane].capabilities.speeds is speeds


@pytest.mark.browser("embedded")
def test_required_hardware_is_timed_where_the_adapter_says_nothing(
    embedded: Accelerator, perceptron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded.start()
    pool = embedded._inner._pool
    assert pool is not None
    (browser,) = pool.browsers.values()
    known = browser.capabilities
    if known.verdict("webgpu").kind == "hardware":
        pytest.skip("this machine has a GPU")
    browser.capabilities = replace(known, adapter=Adapter(), speeds=None)
    monkeypatch.setattr(pool, "options", replace(pool.options, require_hardware=True))
    try:
        with pytest.raises(SoftwareAdapter, match=r"(?s)a timed kernel does .* could do that") as caught:
            embedded.load(perceptron, platform="webgpu")
        assert caught.value.data["verdict"] == "unproven"
        assert browser.capabilities.speeds is not None
    finally:
        browser.capabilities = known
