"""A request that failed is a span that says where; one that its caller gave up is no error."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import webinfer
from webinfer.core.errors import LaneLost
from webinfer.core.placement import LaneId
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.requests.request import Request
from webinfer.telemetry.recorder import Recorder
from webinfer.telemetry.tracing import trace_failure

MODEL: Any = SimpleNamespace(package=SimpleNamespace(name="bert", sha256="a" * 64), backend="wasm", precision="q8")
LANE: Any = SimpleNamespace(
    id=LaneId("b1", 2), browser_name="embedded", capabilities=SimpleNamespace(engine="chromium", engine_version="153")
)


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter


@pytest.fixture
def request_() -> Request:
    request = Request(SessionKey("a" * 64, "wasm"), {}, items=3)
    request.sent(LANE, 2, 0.0)
    request.lane = None  # lost, and not sent to another
    return request


def only(exporter: InMemorySpanExporter) -> tuple[ReadableSpan, Mapping[str, Any]]:
    (span,) = exporter.get_finished_spans()
    return span, span.attributes or {}


def test_failure_says_where_the_request_was_sent_to_last(exporter: InMemorySpanExporter, request_: Request) -> None:
    trace_failure(LaneLost("Lane b1.2 is gone."), MODEL, request_, 0.5)
    span, attributes = only(exporter)
    assert attributes == {
        "webinfer.model": "bert",
        "webinfer.model.sha256": "a" * 64,
        "webinfer.backend": "wasm",
        "webinfer.precision": "q8",
        "webinfer.browser": "embedded",
        "webinfer.engine": "chromium",
        "webinfer.engine.version": "153",
        "webinfer.lane": "b1.2",
        "webinfer.items": 3,
        "webinfer.batch": 2,
        "webinfer.attempts": 1,
        "error.type": LaneLost.code,
    }
    assert (span.status.status_code, [event.name for event in span.events]) == (StatusCode.ERROR, ["exception"])
    assert ((span.end_time or 0) - (span.start_time or 0)) == 500_000_000


def test_tracer_has_the_packages_version(exporter: InMemorySpanExporter, request_: Request) -> None:
    trace_failure(LaneLost("gone"), MODEL, request_, 0.5)
    scope = only(exporter)[0].instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.version) == ("webinfer", webinfer.__version__)


async def test_request_that_its_caller_gave_up_is_no_error(exporter: InMemorySpanExporter, request_: Request) -> None:
    async def work() -> Any:
        await asyncio.Event().wait()

    task = asyncio.ensure_future(Recorder().take(MODEL, request_, work()))
    await asyncio.sleep(0)  # it waits now
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    span, attributes = only(exporter)
    assert span.status.status_code is StatusCode.UNSET
    assert attributes["webinfer.cancelled"] is True
    assert attributes["webinfer.lane"] == "b1.2"
    assert "error.type" not in attributes
    assert not span.events


def test_request_that_could_not_be_made_is_a_span_too(exporter: InMemorySpanExporter) -> None:
    Recorder().failed(ValueError("no such input"), MODEL)
    _, attributes = only(exporter)
    assert attributes["error.type"] == "ValueError"
    assert "webinfer.lane" not in attributes
