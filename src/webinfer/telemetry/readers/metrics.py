"""What ``metrics()`` returns: the counts in the sections that the guide prints."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from webinfer.telemetry.counters.busy_time import BusyTime
from webinfer.telemetry.counters.counts import Counts, ModelCounts, NamedModels
from webinfer.telemetry.counters.gauges import MEGABYTE, Gauges
from webinfer.telemetry.counters.histogram import Histogram
from webinfer.telemetry.counters.labels import Labels
from webinfer.telemetry.counters.series import Series

_SHARES = (50, 95, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Models that are loaded now.

    Attributes:
        names: Their names.
        holders: Ids of the browsers that hold each one, by hash.
    """

    names: Sequence[str] = ()
    holders: Mapping[str, Collection[str]] = field(default_factory=dict)

    def memory_of(self, models: Iterable[str], now: Gauges) -> float:
        """Return the megabytes of the browsers that hold one of some models; each browser counts once, and whole.

        Args:
            models: Their hashes.
            now: The browsers' memory.
        """
        browsers: set[str] = set().union(*(self.holders.get(sha256, ()) for sha256 in models))
        return sum(now.memory.get(browser, 0.0) for browser in browsers)


def metrics(counts: Counts, now: Gauges, loaded: Loaded) -> dict[str, Any]:
    """Return the guide's sections ``models``, ``aggregate``, ``bridge`` and ``resource_pool``.

    Times are in seconds, ``throughput`` in items per second of the time in which a request was under way, memory in
    10^6 bytes. A mean of nothing is 0. ``models`` has the figures of all models of a name together, and in its
    ``variants`` those of each, by hash.

    Args:
        counts: What was counted.
        now: What was measured now.
        loaded: Models that are loaded now.
    """
    whole = _merged([series for _, series in counts.labelled()])
    usage = {
        "browser_usage": _distribution(counts.labelled(), "browser"),
        "platform_usage": _distribution(counts.labelled(), "backend"),
    }
    named = {name: _named(models, counts, now, loaded) for name, models in counts.named.items()}
    return {
        "models": {name: figures for name, figures in named.items() if figures},
        "aggregate": {
            "avg_load_time": _mean(whole.loads.seconds),
            "avg_inference_time": _mean(whole.answers.run),
            "avg_throughput": _ratio(whole.answers.items, counts.busy.seconds),
            "avg_latency": _mean(whole.answers.latency),
            "total_models": counts.past_models + sum(model.is_used for model in counts.models.values()),
            "total_inferences": whole.answers.count,
            "platform_distribution": usage["platform_usage"],
            "browser_distribution": usage["browser_usage"],
            "total_memory_usage": now.browser_mb,
            "percentiles": _percentiles(whole),
        },
        "bridge": _bridge(counts, whole, now, loaded, usage),
        "resource_pool": _resource_pool(counts, now, loaded),
    }


def _named(named: NamedModels, counts: Counts, now: Gauges, loaded: Loaded) -> dict[str, Any]:
    """Return the figures of the models of a name together, and of each; nothing where none was used."""
    used = {sha256: model for sha256, model in named.models.items() if model.is_used}
    variants = {sha256: _variant(model, counts, now, loaded) for sha256, model in used.items()}
    if not variants:
        return {}
    if len(variants) == 1:
        (only,) = variants.values()
        return {**only, "variants": variants}
    series = {where: own for model in used.values() for where, own in _by_model(model)}
    together = {
        "precision": None,
        "model_cid": None,
        **_figures(series, named.busy),
        "loaded_mb": sum(variant["loaded_mb"] for variant in variants.values()),
        "memory_usage": loaded.memory_of(used, now),
    }
    return {**together, "variants": variants}


def _variant(model: ModelCounts, counts: Counts, now: Gauges, loaded: Loaded) -> dict[str, Any]:
    name = counts.names.get(model.sha256)
    return {
        "precision": None if name is None else name.precision,
        "model_cid": None if name is None else name.cid,
        **_figures(dict(_by_model(model)), model.busy),
        "memory_usage": loaded.memory_of([model.sha256], now),
    }


def _by_model(model: ModelCounts) -> Iterator[tuple[Labels, Series]]:
    for where, series in model.series.items():
        yield Labels(model.sha256, *where), series


def _figures(series: Mapping[Labels, Series], busy: BusyTime) -> dict[str, Any]:
    """Return what the guide asks of a model, and percentiles beside the means."""
    whole = _merged([*series.values()])
    return {
        "model_load_time": _mean(whole.loads.seconds),
        "inference_time": _mean(whole.answers.run),
        "throughput": _ratio(whole.answers.items, busy.seconds),
        "latency": _mean(whole.answers.latency),
        "batch_size": whole.answers.largest_batch,
        "platform_distribution": _distribution(series.items(), "backend"),
        "inferences": whole.answers.count,
        "loaded_mb": whole.loads.nbytes / MEGABYTE,
        "percentiles": _percentiles(whole),
    }


def _bridge(
    counts: Counts, whole: Series, now: Gauges, loaded: Loaded, usage: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    errors = counts.faults_of("request", "load")
    return {
        "executed_tasks": whole.answers.count,
        "total_execution_time": whole.answers.run.total,
        "errors": errors.total(),
        "errors_by_code": dict(errors),
        "retries": whole.runs.retried,
        "lanes_lost": counts.faults_of("lane").total(),
        "batches": {str(size): count for size, count in sorted(counts.batches.items())},
        "concurrent_peak": now.running_peak,
        "queue_peak": now.queue_peak,
        "current_queue_size": now.queued,
        "bridge_stats": {
            "created_connections": counts.starts.total(),
            "total_inferences": whole.answers.count,
            "total_model_loads": whole.loads.count,
            "errors": errors.total(),
            "peak_connections": counts.browsers_peak,
            "current_connections": len(counts.browsers),
            "loaded_models": list(loaded.names),
            "model_count": len(loaded.names),
        },
        "resource_metrics": {"connection_util": _ratio(now.busy, now.lanes), **usage},
    }


def _resource_pool(counts: Counts, now: Gauges, loaded: Loaded) -> dict[str, Any]:
    asked = counts.hits + counts.misses
    return {
        "hits": counts.hits,
        "misses": counts.misses,
        "total_requests": asked,
        "hit_ratio": _ratio(counts.hits, asked),
        "memory_usage_mb": now.browser_mb,
        "cached_models": list(loaded.names),
        "timestamp": time.time(),
        "system_memory": {
            "total_mb": now.machine_mb,
            "available_mb": now.available_mb,
            "percent": now.used_percent,
        },
    }


def _merged(series: Sequence[Series]) -> Series:
    """Return the counts of several series together; of one, that one, which remembers its percentiles."""
    if len(series) == 1:
        return series[0]
    whole = Series()
    for own in series:
        whole.merge(own)
    return whole


def _distribution(series: Iterable[tuple[Labels, Series]], label: str) -> dict[str, int]:
    """Return the answers by one of the labels."""
    answers: Counter[str] = Counter()
    for labels, own in series:
        if own.answers.count:
            answers[getattr(labels, label)] += own.answers.count
    return dict(answers)


def _percentiles(series: Series) -> dict[str, dict[str, float]]:
    """Return the percentiles of each time, beside its mean."""
    times = {
        "model_load_time": series.loads.seconds,
        "inference_time": series.answers.run,
        "latency": series.answers.latency,
    }
    names = [f"p{share}" for share in _SHARES]
    return {name: dict(zip(names, histogram.percentiles(_SHARES), strict=True)) for name, histogram in times.items()}


def _mean(values: Histogram) -> float:
    return _ratio(values.total, values.count)


def _ratio(total: float, count: float) -> float:
    """Return a quotient; 0 of nothing."""
    return total / count if count else 0.0
