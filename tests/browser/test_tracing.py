"""Each request has a span with its stages, below the caller's, where somebody collects them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.browser.conftest import start
from webinfer import AsyncAccelerator
from webinfer.core.errors import NotANumber

pytestmark = pytest.mark.browser("embedded")

X = np.ones((1, 8), np.float32)


async def test_request_has_a_span_with_its_stages(perceptron: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    start("embedded").close()  # skips where there is no browser
    async with AsyncAccelerator(browser="embedded", lanes=1) as accelerator:
        model = await accelerator.load(perceptron, platform="wasm")
        await model.run({"x": X})
        assert exporter.get_finished_spans() == ()  # nobody collects them yet
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
        with provider.get_tracer("caller").start_as_current_span("caller"):
            result = await model.run({"x": X})
            with pytest.raises(NotANumber):
                await model.run({"x": X * np.nan})
    spans = {span.name: span for span in exporter.get_finished_spans() if span.status.is_ok or not span.attributes}
    failed = [span for span in exporter.get_finished_spans() if not span.status.is_ok and span.attributes]
    answered = [span for span in exporter.get_finished_spans() if span.name == "webinfer.request"]
    caller = spans["caller"]
    request, error = answered
    assert request.parent is not None
    assert caller.context is not None
    assert request.parent.span_id == error.parent.span_id == caller.context.span_id  # type: ignore[union-attr]
    assert (request.attributes or {})["webinfer.lane"] == result.lane
    assert ((request.end_time or 0) - (request.start_time or 0)) / 1e9 == pytest.approx(result.times.total, abs=1e-6)
    for stage in ("queue", "wait", "transfer", "run"):
        span = spans[f"webinfer.{stage}"]
        assert span.parent is not None
        assert request.context is not None
        assert span.parent.span_id == request.context.span_id
        assert ((span.end_time or 0) - (span.start_time or 0)) / 1e9 == pytest.approx(
            getattr(result.times, stage), abs=1e-5
        )
    assert [(span.attributes or {})["error.type"] for span in failed] == [NotANumber.code]
    assert (error.attributes or {})["webinfer.lane"] == result.lane
