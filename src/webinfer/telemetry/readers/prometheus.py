"""What Prometheus reads from the host's ``/metrics``: the counts so far and a snapshot, in its own text format."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from webinfer.telemetry.counters.counts import Counts
from webinfer.telemetry.counters.histogram import SECONDS, SIZES, Histogram
from webinfer.telemetry.counters.labels import Labels
from webinfer.telemetry.counters.series import STAGES
from webinfer.telemetry.readers.snapshot import Snapshot

_LABELS = Labels._fields


async def expose(snapshot: Snapshot, counts: Counts, accept: str = "") -> tuple[bytes, str]:
    """Write the metrics down, in a thread: there may be thousands of lines.

    Args:
        snapshot: What the accelerator is doing now.
        counts: What was counted so far.
        accept: The ``Accept`` header of the request; it chooses between Prometheus' text format and OpenMetrics.

    Returns:
        The text, and its content type.
    """
    encode, kind = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot, counts))
    ProcessCollector(registry=registry)
    return await asyncio.to_thread(encode, registry), kind


class _Collector(Collector):
    """Copies of what was counted, which another thread may read."""

    def __init__(self, snapshot: Snapshot, counts: Counts) -> None:
        self._snapshot = snapshot
        self._series = counts.by_label()
        self._counts = counts.faults.copy(), counts.starts.copy(), counts.retired.copy()
        self._sessions = Counter(
            Labels(counts.names.label(session.model_sha256), session.precision, session.backend, browser.name)
            for browser in snapshot.browsers
            for lane in browser.lanes
            for session in lane.sessions
        )

    def describe(self) -> Iterator[Metric]:
        """Return no names beforehand: the registry is used once."""
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
            labels=(*_LABELS, "outcome"),
        )
        items = CounterMetricFamily("webinfer_items", "Rows of the answered requests' inputs.", labels=_LABELS)
        retries = CounterMetricFamily(
            "webinfer_retries", "Attempts that failed and were followed by another.", labels=_LABELS
        )
        for labels, series in self._series.items():
            runs = series.runs
            requests.add_metric((*labels, "answered"), runs.answered)
            requests.add_metric((*labels, "failed"), runs.failed)
            items.add_metric(labels, runs.items)
            retries.add_metric(labels, runs.retried)
        yield from (requests, items, retries)

    def _histograms(self) -> Iterator[Metric]:
        total = HistogramMetricFamily(
            "webinfer_request_duration_seconds", "Time from asking to answer.", labels=_LABELS, unit="seconds"
        )
        stages = HistogramMetricFamily(
            "webinfer_request_stage_duration_seconds",
            "Where that time went: in the queue, in the lane behind another request, in the run, in transfer.",
            labels=(*_LABELS, "stage"),
            unit="seconds",
        )
        batches = HistogramMetricFamily("webinfer_batch_requests", "Requests that ran together.", labels=_LABELS)
        loads = HistogramMetricFamily(
            "webinfer_load_duration_seconds", "Time that a session took to be created.", labels=_LABELS, unit="seconds"
        )
        for labels, series in self._series.items():
            _add(total, labels, series.runs.duration)
            for stage, histogram in zip(STAGES, series.runs.stages, strict=True):
                _add(stages, (*labels, stage), histogram)
            _add(batches, labels, series.runs.together, SIZES)
            _add(loads, labels, series.loads.seconds)
        yield from (total, stages, batches, loads)

    def _faults(self) -> Iterator[Metric]:
        counted, started, ended = self._counts
        faults = CounterMetricFamily(
            "webinfer_faults",
            "What failed, was lost or was refused, by its kind and the error's code.",
            labels=("kind", "code"),
        )
        for labels, count in counted.items():
            faults.add_metric(labels, count)
        starts = CounterMetricFamily("webinfer_browser_starts", "Browsers that started.", labels=("browser",))
        for name, count in started.items():
            starts.add_metric((name,), count)
        retired = CounterMetricFamily(
            "webinfer_retirements", "Lanes and browsers that were ended on purpose.", labels=("kind",)
        )
        for kind, count in ended.items():
            retired.add_metric((kind,), count)
        yield from (faults, starts, retired)

    def _now(self) -> Iterator[Metric]:
        totals = self._snapshot.totals
        yield _gauge("webinfer_requests_waiting", "Requests that wait for a lane.", totals.waiting)
        yield _gauge("webinfer_requests_running", "Requests on lanes.", totals.running)
        yield _gauge("webinfer_uptime_seconds", "Time since the accelerator was made.", self._snapshot.uptime)
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
        sessions = GaugeMetricFamily("webinfer_sessions", "Sessions that lanes hold loaded.", labels=_LABELS)
        sizes: Counter[str] = Counter()
        running: Counter[tuple[str, str]] = Counter()
        states: Counter[tuple[str, str]] = Counter()
        for browser in self._snapshot.browsers:
            running[browser.name, browser.version] += 1
            if browser.memory_mb is not None:
                sizes[browser.name] += round(browser.memory_mb * 1e6)
            for lane in browser.lanes:
                states[browser.name, "busy" if lane.running else "idle"] += 1
        for family, counts in ((up, running), (lanes, states), (sessions, self._sessions)):
            for labels, count in counts.items():
                family.add_metric(labels, count)
        for name, nbytes in sizes.items():
            memory.add_metric((name,), nbytes)
        yield from (up, lanes, memory, sessions)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _add(
    family: HistogramMetricFamily,
    labels: tuple[str, ...],
    histogram: Histogram,
    bounds: tuple[float, ...] = SECONDS,
) -> None:
    buckets = zip((*map(str, bounds), "+Inf"), histogram.cumulative(bounds), strict=True)
    family.add_metric(labels, list(buckets), histogram.total)
