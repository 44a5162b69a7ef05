"""OpenTelemetry spans of requests, where its API is installed and a provider is set up; else nothing.

A span is made when its request has ended, from times that were observed: it costs nothing on the way.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from webinfer.core import package_version
from webinfer.inference.result import ModelDescription, Result
from webinfer.pool.requests.request import Request

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_STAGES = ("queue", "wait", "transfer", "run")


def _tracer() -> Tracer | None:
    """Return the tracer; ``None`` where spans are not collected."""
    trace = sys.modules.get("opentelemetry.trace")  # who set up a provider has imported it; each request asks
    if trace is None or isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    tracer: Tracer = trace.get_tracer("webinfer", package_version())
    return tracer


def trace_result(result: Result) -> None:
    """Make the span of an answered request and of its stages, below the caller's own span.

    Both ways of the transfer are one stage; it is shown before the run.

    Args:
        result: The result.
    """
    tracer = _tracer()
    if tracer is None:
        return
    from opentelemetry.trace import set_span_in_context

    times = result.times
    end = time.time_ns()
    start = end - round(times.total * 1e9)
    attributes: dict[str, str | int] = {
        "webinfer.model": result.model,
        "webinfer.model.sha256": result.model_sha256,
        "webinfer.backend": result.backend,
        "webinfer.precision": result.precision,
        "webinfer.browser": result.browser,
        "webinfer.engine": result.engine,
        "webinfer.engine.version": result.engine_version,
        "webinfer.lane": result.lane,
        "webinfer.verdict": result.verdict.kind,
        "webinfer.chosen_by": result.chosen_by,
        "webinfer.items": result.items,
        "webinfer.batch": result.batch,
        "webinfer.attempts": result.attempts,
    }
    span = tracer.start_span("webinfer.request", start_time=start, attributes=attributes)
    inside, at = set_span_in_context(span), start
    for stage in _STAGES:
        until = min(end, at + round(getattr(times, stage) * 1e9))
        tracer.start_span(f"webinfer.{stage}", context=inside, start_time=at).end(until)
        at = until
    span.end(end)


def trace_failure(error: BaseException, model: ModelDescription, request: Request | None, seconds: float) -> None:
    """Make the span of a request that failed, or that its caller gave up.

    The latter is no error by OpenTelemetry's conventions, which have instrumentation that knows of a caller's own
    cancellation leave the status unset and ``error.type`` out; ``webinfer.cancelled`` tells it from an answer.

    Args:
        error: Why.
        model: The model that it was for.
        request: It, as far as it came about.
        seconds: What it took.
    """
    tracer = _tracer()
    if tracer is None:
        return
    from opentelemetry.trace import Status, StatusCode

    end = time.time_ns()
    span = tracer.start_span("webinfer.request", start_time=end - round(seconds * 1e9))
    span.set_attributes(
        {
            "webinfer.model": model.package.name,
            "webinfer.model.sha256": model.package.sha256,
            "webinfer.backend": model.backend,
            "webinfer.precision": model.precision,
        }
    )
    if request is not None:
        span.set_attributes({"webinfer.items": request.items, "webinfer.attempts": request.attempts})
    if request is not None and (lane := request.place) is not None:
        span.set_attributes(
            {
                "webinfer.browser": lane.browser_name,
                "webinfer.engine": lane.capabilities.engine,
                "webinfer.engine.version": lane.capabilities.engine_version,
                "webinfer.lane": str(lane.id),
                "webinfer.batch": request.together,
            }
        )
    if isinstance(error, asyncio.CancelledError):
        span.set_attribute("webinfer.cancelled", True)
    else:
        span.set_attribute("error.type", str(getattr(error, "code", type(error).__name__)))
        span.record_exception(error, timestamp=end)
        span.set_status(Status(StatusCode.ERROR, str(error)))
    span.end(end)
