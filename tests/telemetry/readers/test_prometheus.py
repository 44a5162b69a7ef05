"""What Prometheus reads is written from copies, in the names that docs/how-to/monitoring.md lists."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.telemetry.results import MODEL
from webinfer.core.placement import LaneId
from webinfer.pool.events import BrowserStarted, HostStalled, RunFinished, SessionLoaded
from webinfer.pool.plan.assignment import SessionKey
from webinfer.telemetry.counters.counters import Counters
from webinfer.telemetry.readers.prometheus import expose
from webinfer.telemetry.readers.snapshot import take

KEY = SessionKey(MODEL, "wasm")
PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "monitoring.md").read_text(encoding="utf-8")


async def read(counters: Counters) -> dict[str, list[tuple[dict[str, str], float]]]:
    text, kind = await expose(await take(None, counters), counters.read())
    assert kind.startswith("text/plain")
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


def counted() -> Counters:
    counters = Counters()
    counters.name(MODEL, "probe")
    counters(BrowserStarted("b1", "embedded", "1.0", 1, 0.5))
    counters(SessionLoaded(LaneId("b1", 1), KEY, 1, 0.02, 0.0, 0.0))
    counters(RunFinished(LaneId("b1", 1), "b1", KEY, 3, 0.001, 0.002, 0.003, 0.01, 1, 2))
    counters(HostStalled(2.0))
    return counters


async def test_counts_are_written_under_their_labels() -> None:
    samples = await read(counted())
    labels = {"model": "probe", "precision": "fp32", "backend": "wasm", "browser": "embedded"}
    assert samples["webinfer_requests_total"] == [
        ({**labels, "outcome": "answered"}, 1.0),
        ({**labels, "outcome": "failed"}, 0.0),
    ]
    assert samples["webinfer_items_total"] == [(labels, 3.0)]
    buckets = {given["le"]: value for given, value in samples["webinfer_request_duration_seconds_bucket"]}
    assert (buckets["0.005"], buckets["0.01"], buckets["60.0"], buckets["+Inf"]) == (0, 1, 1, 1)
    loads = {given["le"]: value for given, value in samples["webinfer_load_duration_seconds_bucket"]}
    assert (loads["0.01"], loads["0.025"], loads["+Inf"]) == (0, 1, 1)
    sizes = {given["le"]: value for given, value in samples["webinfer_batch_requests_bucket"]}
    assert (sizes["1.0"], sizes["2.0"], sizes["+Inf"]) == (0, 1, 1)
    assert samples["webinfer_faults_total"] == [({"kind": "host", "code": "host.stalled"}, 1.0)]
    assert samples["webinfer_browser_starts_total"] == [({"browser": "embedded"}, 1.0)]


async def test_every_documented_metric_is_declared() -> None:
    text, _ = await expose(await take(None, Counters()), Counters().read())
    declared = {line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE")}
    documented = set(re.findall(r"`(webinfer_\w+)`", PAGE)) - {"webinfer_session"}
    assert documented
    assert {name for name in documented if name not in declared} == set()
