"""What Prometheus reads is what results told, in a format that its own parser takes, for those with the token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from onnx import TensorProto, helper
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.browser.conftest import Save
from webinfer import AsyncAccelerator
from webinfer.core.errors import BackendError, Forbidden, OptionError
from webinfer.telemetry.counters.series import STAGES
from webinfer.transport.server import Host

pytestmark = pytest.mark.browser("embedded")

TOKEN = "only prometheus knows"
X = np.ones((1, 8), np.float32)

Samples = Mapping[str, list[tuple[dict[str, str], float]]]


async def scrape(accelerator: AsyncAccelerator, accept: str = "", token: str = TOKEN) -> Samples:
    host = accelerator._lifecycle.host
    assert host is not None
    headers = {"Accept": accept, "Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as client, client.get(f"{host.origin}/metrics", headers=headers) as response:
        assert response.status == 200
        text = await response.text()
    strict = "openmetrics" in response.headers["Content-Type"]
    parse = openmetrics.text_string_to_metric_families if strict else text_string_to_metric_families
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in parse(text):
        assert family.documentation
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    found = [value for given, value in samples[name] if labels.items() <= given.items()]
    assert len(found) == 1, f"{name} {labels}: {found}"
    return found[0]


async def test_metrics_are_what_the_results_told(perceptron: Path) -> None:
    async with AsyncAccelerator(browser="embedded", metrics_token=TOKEN) as accelerator:
        first = await scrape(accelerator)
        assert value(first, "webinfer_browsers", browser="embedded") == 1
        assert "webinfer_requests_total" not in first
        model = await accelerator.load(perceptron, platform="wasm")
        results = [await model.run({"x": np.repeat(X, rows, axis=0)}) for rows in (1, 2, 3)]
        seen = await scrape(accelerator)
    where = {"model": model.name, "precision": "fp32", "backend": "wasm", "browser": "embedded"}
    assert value(seen, "webinfer_requests_total", outcome="answered", **where) == 3
    assert value(seen, "webinfer_requests_total", outcome="failed", **where) == 0
    assert value(seen, "webinfer_items_total", **where) == 6
    assert value(seen, "webinfer_load_duration_seconds_count", **where) == 1
    total = sum(result.times.total for result in results)
    assert value(seen, "webinfer_request_duration_seconds_sum", **where) == pytest.approx(total)
    assert value(seen, "webinfer_request_duration_seconds_bucket", le="+Inf", **where) == 3
    for stage in STAGES:
        spent = sum(getattr(result.times, stage) for result in results)
        got = value(seen, "webinfer_request_stage_duration_seconds_sum", stage=stage, **where)
        assert got == pytest.approx(spent, abs=1e-6)
    counts = [
        count
        for labels, count in seen["webinfer_request_duration_seconds_bucket"]
        if labels["le"] != "+Inf" and float(labels["le"]) >= max(result.times.total for result in results)
    ]
    assert set(counts) == {3}
    assert value(seen, "webinfer_sessions", **where) == 1
    assert value(seen, "webinfer_lanes", browser="embedded", state="idle") == 1
    assert 20e6 < value(seen, "webinfer_browser_memory_bytes", browser="embedded") < 10e9
    assert (seen["webinfer_requests_waiting"], seen["webinfer_requests_running"]) == ([({}, 0.0)], [({}, 0.0)])


async def test_failures_are_counted_and_any_name_is_a_label(save: Save, perceptron: Path) -> None:
    table = helper.make_tensor("w", TensorProto.FLOAT, [4], [1.0, 2.0, 3.0, 4.0])
    node = helper.make_node("Gather", ["w", "x"], ["y"])
    path = save(node, dtype=TensorProto.INT64, out=TensorProto.FLOAT, initializers=(table,))
    odd = path.with_name('a "quoted" \\name\\.onnx')
    path.rename(odd)
    async with AsyncAccelerator(browser="embedded", metrics_token=TOKEN) as accelerator:
        model = await accelerator.load(odd, platform="wasm")
        for _ in range(2):
            with pytest.raises(BackendError):
                await model.run({"x": np.array([99], np.int64)})
        for accept in ("", "application/openmetrics-text; version=1.0.0"):
            seen = await scrape(accelerator, accept)
            assert value(seen, "webinfer_requests_total", outcome="failed", model=model.name) == 2
            assert value(seen, "webinfer_faults_total", kind="request", code="backend.run") == 2
    assert '"' in model.name


async def test_metrics_need_a_token_and_only_when_set_their_own() -> None:
    for token, open_to in ((None, []), (TOKEN, [TOKEN])):
        host = Host(metrics_token=token)
        await host.start()
        async with aiohttp.ClientSession() as client:
            for given in ("", "guess", "None", host.access, TOKEN, host.status_token):
                headers = {"Authorization": f"Bearer {given}"} if given else {}
                async with client.get(f"{host.origin}/metrics", headers=headers) as response:
                    allowed = given in (host.status_token, *open_to)
                    assert response.status == (404 if allowed else 403)  # nobody tells metrics here
                    assert allowed or (await response.json())["code"] == Forbidden.code
        await host.close()


def test_short_token_is_refused_and_none_is_shown() -> None:
    with pytest.raises(OptionError, match="metrics_token"):
        AsyncAccelerator(metrics_token="1234")
    assert TOKEN not in repr(AsyncAccelerator(metrics_token=TOKEN).options)
