"""The queries behind a report. Each sees the requests that it is about as ``scoped``."""

from __future__ import annotations

from collections.abc import Sequence

KEY = "model_name, backend, precision, browser_name"
"""What makes a configuration."""

MOST = 500  # rows of a section
NEWEST = 100  # likewise, of what comes with every run: then these are listed


def scoped(sql: str, runs: Sequence[int] | None, newest: str = "TRUE") -> str:
    """Return a query over some runs, and the benchmarks made since the first of them began; ``None`` for all.

    Args:
        sql: A query with a place for the condition.
        runs: Ids of runs; ``None`` for all.
        newest: Condition for what is newest.
    """
    numbers = ", ".join(map(str, map(int, runs or ()))) or "NULL"
    chosen = "TRUE" if runs is None else f"run IN ({numbers})"
    since = "TRUE" if runs is None else f"b.started >= (SELECT min(started) FROM runs WHERE id IN ({numbers}))"
    narrowed = {"{chosen}": chosen, "{newest}": newest, "{key}": KEY}
    narrowed |= {f"{{chosen_{table}}}": chosen.replace("run ", f"{table}.run ") for table in ("l", "b")}
    narrowed |= {"{since}": since}
    for mark, text in narrowed.items():
        sql = sql.replace(mark, text)
    return sql


_SCOPED = """WITH scoped AS (SELECT * FROM results WHERE {chosen})
, answered AS (SELECT * FROM scoped WHERE error_code IS NULL)"""

# While a request is under way a pool is busy; the union of these spans is what throughput is counted over.
_BUSY = """
, spans AS (SELECT {key}, run, epoch(timestamp) - total AS s, epoch(timestamp) AS e FROM answered)
, reached AS (
    SELECT *, max(e) OVER (PARTITION BY {part}run ORDER BY s ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM spans
)
"""
_BUSY_SECONDS = "sum(greatest(0, e - greatest(s, coalesce(before, s))))"

SUMMARY = f"""
{_SCOPED}{_BUSY.replace("{part}", "")}
SELECT count(*) AS requests, count(*) FILTER (WHERE error_code IS NULL) AS answered, count(error_code) AS failed,
    count(*) FILTER (WHERE error_code IS NULL AND attempts > 1) AS recovered,
    coalesce(sum(items) FILTER (WHERE error_code IS NULL), 0) AS items,
    (SELECT {_BUSY_SECONDS} FROM reached) AS busy, min(timestamp) AS first, max(timestamp) AS last,
    quantile_cont(total, 0.5) FILTER (WHERE error_code IS NULL) AS p50,
    quantile_cont(total, 0.95) FILTER (WHERE error_code IS NULL) AS p95,
    quantile_cont(total, 0.99) FILTER (WHERE error_code IS NULL) AS p99,
    count(DISTINCT model_name) AS models, count(DISTINCT browser_name) AS browsers, count(DISTINCT run) AS runs,
    (SELECT count(started) FROM browsers WHERE {{chosen}}) AS started,
    (SELECT coalesce(sum(dropped), 0) FROM (SELECT *, id AS run FROM runs) WHERE {{chosen}}) AS dropped
FROM scoped
"""

RUNS = """
SELECT id, started, ended, version, revision, options, dropped, clock_jumps, machine,
    (SELECT count(*) FROM inferences i WHERE i.run = r.id) AS requests
FROM (SELECT *, id AS run FROM runs) r WHERE {chosen} ORDER BY started DESC NULLS LAST, id DESC
"""

MACHINES = """
SELECT * FROM machines WHERE id IN (
    SELECT machine FROM (SELECT *, id AS run FROM runs) WHERE {chosen}
    UNION SELECT b.machine FROM benchmarks b WHERE {since}
)
"""

CONFIGURATIONS = f"""
{_SCOPED}{_BUSY.replace("{part}", "{key}, ")}
, busy AS (SELECT {{key}}, {_BUSY_SECONDS} AS busy FROM reached GROUP BY {{key}})
, failures AS (SELECT {{key}}, count(*) AS failed FROM scoped WHERE error_code IS NOT NULL GROUP BY {{key}})
SELECT {{key}}, any_value(family) AS family, any_value(weights) AS weights,
    string_agg(DISTINCT verdict, ', ') AS verdict, any_value(engine_version) AS engine_version,
    max(model_nbytes) / 1e6 AS model_mb,
    count(*) AS requests, sum(items) AS items, coalesce(any_value(failed), 0) AS failed,
    sum(items) / nullif(any_value(busy), 0) AS throughput,
    quantile_cont(total, 0.05) AS p5, quantile_cont(total, 0.25) AS p25, quantile_cont(total, 0.5) AS p50,
    quantile_cont(total, 0.75) AS p75, quantile_cont(total, 0.95) AS p95, quantile_cont(total, 0.99) AS p99,
    max(total) AS slowest, median(run_time) AS run_p50,
    avg(queue) AS queue, avg(wait) AS wait, avg(transfer) AS transfer, avg(run_time) AS run_time,
    avg(batch) AS batch, count(*) FILTER (WHERE attempts > 1) AS recovered, count(DISTINCT lane) AS lanes
FROM answered LEFT JOIN busy USING ({{key}}) LEFT JOIN failures USING ({{key}})
GROUP BY {{key}} ORDER BY throughput DESC NULLS LAST
"""

DISTRIBUTIONS = f"""
{_SCOPED}
SELECT {{key}}, CAST(floor(log10(greatest(total, 1e-6) * 1000) * 16) AS INTEGER) AS bin, count(*) AS count
FROM answered GROUP BY ALL ORDER BY ALL
"""

TIMELINE = f"""
{_SCOPED}, here AS (SELECT * FROM scoped WHERE {{newest}})
, span AS (
    SELECT min(epoch(timestamp)) AS began, greatest(1, (max(epoch(timestamp)) - min(epoch(timestamp))) / 120) AS step
    FROM here
)
SELECT began + floor((epoch(timestamp) - began) / step) * step AS t, any_value(step) AS step,
    count(*) FILTER (WHERE error_code IS NULL) AS answered, count(error_code) AS failed,
    sum(items) FILTER (WHERE error_code IS NULL) / any_value(step) AS throughput,
    quantile_cont(total, 0.5) FILTER (WHERE error_code IS NULL) AS p50,
    quantile_cont(total, 0.95) FILTER (WHERE error_code IS NULL) AS p95
FROM here, span GROUP BY 1 ORDER BY 1
"""

LOADS = """
SELECT coalesce(m.name, left(l.model, 12)) AS model_name, l.backend, l.precision, b.name AS browser_name,
    count(*) FILTER (WHERE l.error_code IS NULL) AS loads, count(l.error_code) AS failed,
    median(l.seconds) AS seconds, median(l.fetch_time) AS fetch, median(l.create_time) AS "create",
    max(l.nbytes) / 1e6 AS mb, avg(l.stored / nullif(l.nbytes, 0)) AS kept
FROM loads l LEFT JOIN models m ON m.sha256 = l.model LEFT JOIN browsers b ON b.id = l.browser
WHERE {chosen_l} GROUP BY ALL ORDER BY seconds DESC NULLS LAST
"""

FIRST = f"""
{_SCOPED}, ranked AS (SELECT *, row_number() OVER (PARTITION BY session ORDER BY timestamp, id) AS place FROM answered)
SELECT {{key}}, median(run_time) FILTER (WHERE place = 1) AS first, median(run_time) FILTER (WHERE place > 1) AS later,
    count(*) FILTER (WHERE place = 1) AS sessions
FROM ranked GROUP BY {{key}} HAVING count(*) FILTER (WHERE place > 1) > 0 ORDER BY first DESC
"""

# Little's law: within a window, requests under way = their summed times / its length. Windows at the edges are
# left out; from four requests on, levels are powers of the root of two.
SCALING = f"""
{_SCOPED}
, windows AS (SELECT {{key}}, run, greatest(1, 5 * median(total)) AS w FROM answered GROUP BY ALL)
, filled AS (
    SELECT {{key}}, run, floor(epoch(timestamp) / w) AS slot, sum(total) / any_value(w) AS level,
        sum(items) / any_value(w) AS throughput
    FROM answered JOIN windows USING ({{key}}, run) GROUP BY ALL
)
, inner_ones AS (
    SELECT *, slot = min(slot) OVER p OR slot = max(slot) OVER p AS edge FROM filled
    WINDOW p AS (PARTITION BY {{key}}, run)
)
SELECT {{key}},
    CAST(CASE WHEN level < 4 THEN greatest(1, round(level)) ELSE round(2 ** (round(log2(level) * 2) / 2)) END
        AS INTEGER) AS level, median(throughput) AS throughput, count(*) AS windows,
    'observed' AS source
FROM inner_ones WHERE NOT edge GROUP BY ALL ORDER BY {{key}}, level
"""

SCALING_MEASURED = """
SELECT model_name, backend, precision, browser_name, concurrency AS level, 1 / median(value) AS throughput,
    count(*) AS windows, 'benchmark' AS source
FROM measurements JOIN benchmarks b ON b.id = benchmark
WHERE concurrency IS NOT NULL AND metric = 'time_per_item' AND value > 0 AND {since}
GROUP BY ALL ORDER BY ALL
"""

ACCURACY = """
SELECT model_name, precision, backend, browser_name, reference, metric, value, threshold, passed, nbytes / 1e6 AS mb
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY model, precision, backend, browser_name, metric ORDER BY timestamp DESC, id DESC
    ) AS place
    FROM accuracy_checks WHERE {chosen}
)
WHERE place = 1 ORDER BY model_name, mb
"""

# Of many samples those stay that are the first, the lowest or the highest of their stretch, so every peak is seen.
MEMORY = """
WITH here AS (
    SELECT *, row_number() OVER pace AS place, count(*) OVER () AS whole, ntile(100) OVER pace AS stretch
    FROM samples WHERE {chosen} AND {newest} WINDOW pace AS (ORDER BY timestamp, id)
)
, shown AS (
    SELECT unnest([
        min(place), min_by(place, browser_mb), max_by(place, browser_mb), min_by(place, python_mb),
        max_by(place, python_mb), min_by(place, available_mb)
    ]) AS place FROM here GROUP BY stretch
    UNION ALL SELECT max(place) FROM here
)
SELECT epoch(timestamp) AS t, queued, running, lanes, busy, browsers, browser_mb, python_mb, available_mb
FROM here WHERE whole <= 600 OR place IN (SELECT place FROM shown) ORDER BY place
"""

# As the view browser_connection_metrics, of the browsers of some runs: their labels are the same in every run.
BROWSERS = """
WITH used AS (
    SELECT s.browser, string_agg(DISTINCT s.backend, ', ' ORDER BY s.backend) AS platform,
        count(DISTINCT s.model) AS models_executed, sum(i.run_time / i.batch) AS spent,
        count(i.error_code) AS failed, max(i.timestamp) AS latest
    FROM inferences i JOIN (SELECT * FROM sessions WHERE {chosen}) s ON s.id = i.session GROUP BY s.browser
)
SELECT b.name AS browser_name, u.platform, b.label AS connection_id,
    epoch(coalesce(b.ended, r.ended, u.latest) - b.started) AS connection_duration_sec,
    coalesce(u.models_executed, 0) AS models_executed, coalesce(u.spent, 0) AS total_inference_time_sec,
    coalesce(u.failed, 0) + CASE WHEN b.lost THEN 1 ELSE 0 END AS error_count,
    b.started IS NOT NULL AS connection_success, b.heartbeat_failures,
    b.engine_version AS browser_version, b.adapter AS adapter_info, CAST(b.backends AS TEXT) AS backend_info
FROM browsers b LEFT JOIN runs r ON r.id = b.run LEFT JOIN used u ON u.browser = b.id
WHERE {chosen_b} ORDER BY r.started DESC NULLS LAST, b.run DESC, b.id DESC
"""

VERDICTS = """
SELECT s.browser_name, s.engine_version, s.backend, s.verdict, s.evidence, count(*) AS sessions,
    any_value(b.adapter) AS adapter
FROM (SELECT * FROM sessions WHERE {chosen} AND verdict IS NOT NULL) s LEFT JOIN browsers b ON b.id = s.browser
GROUP BY ALL ORDER BY s.browser_name, s.backend, s.verdict, s.engine_version, sessions DESC
"""

PLACEMENT = """
SELECT DISTINCT model_name, backend, precision, browser_name, placement FROM sessions
WHERE {chosen} AND placement IS NOT NULL ORDER BY ALL
"""

FAILURES = f"""
{_SCOPED}, failed AS (
    SELECT error_code, model_name, backend, error FROM scoped WHERE error_code IS NOT NULL
    UNION ALL
    SELECT split_part(m.error, ': ', 1), m.model_name, m.backend, substr(m.error, strpos(m.error, ': ') + 2)
    FROM measurements m JOIN benchmarks b ON b.id = m.benchmark WHERE m.error IS NOT NULL AND {{since}}
)
SELECT error_code, model_name, backend, count(*) AS times, left(any_value(error), 500) AS example
FROM failed GROUP BY ALL ORDER BY times DESC
"""

FAULTS = """
SELECT kind, code, count(*) AS times, count(*) FILTER (WHERE retried) AS retried,
    left(any_value(reason), 500) AS example, max(epoch(timestamp)) AS last
FROM faults WHERE {chosen} GROUP BY kind, code ORDER BY times DESC
"""

RECOVERIES = """
SELECT kind, count(*) AS times, median(seconds) AS seconds, max(seconds) AS slowest
FROM recoveries WHERE {chosen} GROUP BY kind ORDER BY times DESC
"""

# Not any other run: one that began before.
EARLIER = """
WITH medians AS (
    SELECT {key}, machine, run, median(run_time) AS run_p50, median(total) AS p50, count(*) AS requests
    FROM results WHERE error_code IS NULL GROUP BY ALL
)
SELECT {key}, n.run_p50, b.run_p50 AS earlier_run_p50, n.p50, b.p50 AS earlier_p50,
    n.run_p50 / nullif(b.run_p50, 0) - 1 AS change, n.requests, b.requests AS earlier_requests, u.started AS earlier,
    u.version AS earlier_version, u.revision AS earlier_revision
FROM (SELECT * FROM medians WHERE {newest}) n JOIN medians b USING ({key}, machine)
    JOIN runs r ON r.id = n.run JOIN runs u ON u.id = b.run AND u.started < r.started
QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY u.started DESC, u.id DESC) = 1 ORDER BY change DESC
"""

# Of what was measured several times, the newest counts: ids of several processes are in no order.
BENCHED = """
WITH ranked AS (
    SELECT m.*, row_number() OVER (ORDER BY m.timestamp, m.id) AS place
    FROM measurements m JOIN benchmarks b ON b.id = m.benchmark WHERE value IS NOT NULL AND {since}
)
SELECT model_name, backend, precision, browser_name, coalesce(concurrency, 1) AS level,
    max_by(verdict, place) AS verdict, max_by(weights, place) AS weights,
    max_by(value, place) FILTER (WHERE metric = 'time_per_item') AS time,
    max_by(low, place) FILTER (WHERE metric = 'time_per_item') AS low,
    max_by(high, place) FILTER (WHERE metric = 'time_per_item') AS high,
    max_by(details ->> '$.interval', place) FILTER (WHERE metric = 'time_per_item') AS scope,
    1 / max_by(nullif(value, 0), place) FILTER (WHERE metric = 'time_per_item') AS throughput,
    max_by(value, place) FILTER (WHERE metric = 'native_time') AS native,
    max_by(value, place) FILTER (WHERE metric = 'time_over_native') AS over_native,
    max_by(low, place) FILTER (WHERE metric = 'time_over_native') AS over_low,
    max_by(high, place) FILTER (WHERE metric = 'time_over_native') AS over_high,
    max_by(value, place) FILTER (WHERE metric = 'cold_load') AS cold,
    max_by(value, place) FILTER (WHERE metric = 'warm_load') AS warm,
    max_by(value, place) FILTER (WHERE metric = 'cached_load') AS cached,
    max_by(value, place) FILTER (WHERE metric = 'cold_first_run') AS first,
    max_by(value, place) FILTER (WHERE metric = 'memory') AS mb,
    max_by(value, place) FILTER (WHERE metric = 'difference_from_native') AS difference
FROM ranked GROUP BY ALL HAVING time IS NOT NULL ORDER BY ALL
"""

BENCHMARKS = """
SELECT b.id, b.name, b.command, b.started, b.ended, b.status, b.version, b.revision, count(m.id) AS measurements,
    count(m.error) AS errors
FROM benchmarks b LEFT JOIN measurements m ON m.benchmark = b.id WHERE {since}
GROUP BY ALL ORDER BY b.started DESC NULLS LAST, b.id DESC
"""
