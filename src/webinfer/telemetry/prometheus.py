"""What Prometheus reads from the host's ``/metrics``: the tallies so far and a snapshot, in its own text format."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from webinfer.telemetry.counters.tallies import STAGES, Histogram, Tallies, Where
from webinfer.telemetry.snapshot import Snapshot

_WHERE = Where._fields


async def expose(seen: Snapshot, tallies: Tallies, accept: str = "") -> tuple[bytes, str]:
    """Write the metrics down, in a thread: there may be thousands of lines.

    Args:
        seen: What the accelerator is doing now.
        tallies: What was counted so far.
        accept: The ``Accept`` header of whoever asks; it chooses between Prometheus' text format and OpenMetrics.

    Returns:
        The text, and its content type.
    """
    encode, kind = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(seen, tallies.copy()))
    ProcessCollector(registry=registry)
    return await asyncio.to_thread(encode, registry), kind


class _Collector(Collector):
    def __init__(self, seen: Snapshot, tallies: Tallies) -> None:
        self._seen = seen
        self._tallies = tallies

    def describe(self) -> Iterator[Metric]:
        """Claim no names beforehand; the registry is used once."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield from self._requests()
        yield from self._histograms()
        yield from self._faults()
        yield from self._now()
        yield from self._browsers()

    def _requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "webinfer_requests",
            "Requests that were answered, or failed once a browser or its lanes were at it.",
            labels=(*_WHERE, "outcome"),
        )
        items = CounterMetricFamily("webinfer_items", "Rows of the answered requests' inputs.", labels=_WHERE)
        retries = CounterMetricFamily(
            "webinfer_retries", "Attempts that failed and were followed by another.", labels=_WHERE
        )
        for where, tally in self._tallies.by.items():
            requests.add_metric((*where, "answered"), tally.answered)
            requests.add_metric((*where, "failed"), tally.failed)
            items.add_metric(where, tally.items)
            retries.add_metric(where, tally.retried)
        yield from (requests, items, retries)

    def _histograms(self) -> Iterator[Metric]:
        total = HistogramMetricFamily(
            "webinfer_request_duration_seconds", "Time from asking to answer.", labels=_WHERE, unit="seconds"
        )
        stages = HistogramMetricFamily(
            "webinfer_request_stage_duration_seconds",
            "Where that time went: in the queue, in the lane behind another request, in the run, in transfer.",
            labels=(*_WHERE, "stage"),
            unit="seconds",
        )
        batches = HistogramMetricFamily("webinfer_batch_requests", "Requests that ran together.", labels=_WHERE)
        loads = HistogramMetricFamily(
            "webinfer_load_duration_seconds", "Time that a session took to be created.", labels=_WHERE, unit="seconds"
        )
        for where, tally in self._tallies.by.items():
            _add(total, where, tally.duration)
            for stage, histogram in zip(STAGES, tally.stages, strict=True):
                _add(stages, (*where, stage), histogram)
            _add(batches, where, tally.batch)
            _add(loads, where, tally.load)
        yield from (total, stages, batches, loads)

    def _faults(self) -> Iterator[Metric]:
        faults = CounterMetricFamily(
            "webinfer_faults",
            "What failed, was lost or was refused, by its kind and the error's code.",
            labels=("kind", "code"),
        )
        for labels, count in self._tallies.faults.items():
            faults.add_metric(labels, count)
        starts = CounterMetricFamily("webinfer_browser_starts", "Browsers that started.", labels=("browser",))
        for name, count in self._tallies.starts.items():
            starts.add_metric((name,), count)
        retired = CounterMetricFamily(
            "webinfer_retirements", "Lanes and browsers that were ended on purpose.", labels=("kind",)
        )
        for kind, count in self._tallies.retired.items():
            retired.add_metric((kind,), count)
        yield from (faults, starts, retired)

    def _now(self) -> Iterator[Metric]:
        totals = self._seen.totals
        yield _gauge("webinfer_requests_waiting", "Requests that wait for a lane.", totals.waiting)
        yield _gauge("webinfer_requests_running", "Requests on lanes.", totals.running)
        yield _gauge("webinfer_uptime_seconds", "Time since the accelerator was made.", self._seen.uptime)
        info = GaugeMetricFamily("webinfer_build_info", "The version, as a label.", labels=("version",))
        info.add_metric((importlib.metadata.version("webinfer"),), 1)
        yield info

    def _browsers(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("webinfer_browsers", "Browsers that run.", labels=("browser", "version"))
        lanes = GaugeMetricFamily(
            "webinfer_lanes", "Lanes that take work, by what they do.", labels=("browser", "state")
        )
        memory = GaugeMetricFamily(
            "webinfer_browser_memory_bytes", "Memory of the browser's processes.", labels=("browser",), unit="bytes"
        )
        sessions = GaugeMetricFamily("webinfer_sessions", "Sessions that lanes hold loaded.", labels=_WHERE)
        held: Counter[Where] = Counter()
        sizes: Counter[str] = Counter()
        running: Counter[tuple[str, str]] = Counter()
        states: Counter[tuple[str, str]] = Counter()
        for browser in self._seen.browsers:
            running[browser.name, browser.version] += 1
            if browser.memory_mb is not None:
                sizes[browser.name] += round(browser.memory_mb * 1e6)
            for lane in browser.lanes:
                states[browser.name, "busy" if lane.running else "idle"] += 1
                held.update(
                    Where(self._tallies.named(each.model_sha256), each.precision, each.backend, browser.name)
                    for each in lane.sessions
                )
        for family, counts in ((up, running), (lanes, states), (sessions, held)):
            for labels, count in counts.items():
                family.add_metric(labels, count)
        for name, nbytes in sizes.items():
            memory.add_metric((name,), nbytes)
        yield from (up, lanes, memory, sessions)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], histogram: Histogram) -> None:
    bounds = (*map(str, histogram.bounds), "+Inf")
    family.add_metric(labels, list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.total)
