"""The queries behind a report. Each sees the requests that it is about as ``scoped``."""

from __future__ import annotations

KEY = "model_name, backend, precision, browser_name"
"""What makes a configuration."""


def scoped(sql: str, chosen: str, newest: str = "TRUE") -> str:
    """Return a query over the chosen runs."""
    narrowed = {"{chosen}": chosen, "{newest}": newest, "{key}": KEY}
    narrowed |= {f"{{chosen_{table}}}": chosen.replace("run ", f"{table}.run ") for table in ("l", "b")}
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
    (SELECT coalesce(sum(dropped), 0) FROM (SELECT *, id AS run FROM runs) WHERE {{chosen}}) AS dropped
FROM scoped
"""

RUNS = """
SELECT id, started, ended, version, revision, options, dropped, clock_jumps, machine,
    (SELECT count(*) FROM inferences i WHERE i.run = r.id) AS requests
FROM (SELECT *, id AS run FROM runs) r WHERE {chosen} ORDER BY started, id
"""

MACHINES = """
SELECT * FROM machines WHERE id IN (
    SELECT machine FROM (SELECT *, id AS run FROM runs) WHERE {chosen}
    UNION SELECT b.machine FROM benchmarks b WHERE {chosen_b}
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
{_SCOPED}, ranked AS (SELECT *, row_number() OVER (PARTITION BY session ORDER BY id) AS place FROM answered)
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
WHERE concurrency IS NOT NULL AND metric = 'time_per_item' AND value > 0 AND {chosen_b}
GROUP BY ALL ORDER BY ALL
"""

ACCURACY = """
SELECT model_name, precision, backend, browser_name, reference, metric, value, threshold, passed, nbytes / 1e6 AS mb
FROM (
    SELECT *, row_number() OVER (PARTITION BY model, precision, backend, browser_name, metric ORDER BY id DESC) AS place
    FROM accuracy_checks WHERE {chosen}
)
WHERE place = 1 ORDER BY model_name, mb
"""

MEMORY = """
SELECT epoch(timestamp) AS t, queued, running, lanes, busy, browsers, browser_mb, python_mb, available_mb
FROM samples WHERE {chosen} AND {newest} ORDER BY id
"""

BROWSERS = """
SELECT c.* FROM browser_connection_metrics c WHERE connection_id IN (SELECT label FROM browsers WHERE {chosen})
    OR NOT connection_success ORDER BY browser_name, connection_id
"""

VERDICTS = """
SELECT browser_name, engine_version, backend, verdict, evidence, count(*) AS sessions,
    (SELECT any_value(adapter) FROM browsers b WHERE b.name = s.browser_name AND b.adapter IS NOT NULL) AS adapter
FROM sessions s WHERE {chosen} AND verdict IS NOT NULL GROUP BY ALL ORDER BY browser_name, backend
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
    FROM measurements m JOIN benchmarks b ON b.id = m.benchmark WHERE m.error IS NOT NULL AND {{chosen_b}}
)
SELECT error_code, model_name, backend, count(*) AS times, any_value(error) AS example
FROM failed GROUP BY ALL ORDER BY times DESC
"""

FAULTS = """
SELECT kind, code, count(*) AS times, count(*) FILTER (WHERE retried) AS retried, any_value(reason) AS example,
    max(epoch(timestamp)) AS last
FROM faults WHERE {chosen} GROUP BY kind, code ORDER BY times DESC
"""

RECOVERIES = """
SELECT kind, count(*) AS times, median(seconds) AS seconds, max(seconds) AS slowest
FROM recoveries WHERE {chosen} GROUP BY kind ORDER BY times DESC
"""

NATIVE = """
WITH told AS (
    SELECT m.* FROM measurements m JOIN benchmarks b ON b.id = m.benchmark WHERE value IS NOT NULL AND {chosen_b}
)
SELECT n.model_name, o.backend, o.browser_name, o.precision, n.metric, n.unit, o.concurrency, min(n.value) AS native,
    median(o.value) AS value, median(o.value) / nullif(min(n.value), 0) AS ratio, count(*) AS pairs
FROM told n JOIN told o ON o.benchmark = n.benchmark AND o.model_name = n.model_name AND o.metric = n.metric
    AND o.batch IS NOT DISTINCT FROM n.batch AND o.backend <> 'native'
WHERE n.backend = 'native' AND n.metric = 'time_per_item' GROUP BY ALL ORDER BY ALL
"""

EARLIER = """
WITH medians AS (
    SELECT {key}, r.machine, run, median(run_time) AS run_p50, median(total) AS p50, count(*) AS requests
    FROM results r WHERE error_code IS NULL GROUP BY ALL
)
, now_ AS (SELECT * FROM medians WHERE {newest}), before AS (SELECT * FROM medians WHERE NOT ({newest}))
SELECT n.model_name, n.backend, n.precision, n.browser_name, n.run_p50, b.run_p50 AS earlier_run_p50,
    n.p50, b.p50 AS earlier_p50,
    n.run_p50 / nullif(b.run_p50, 0) - 1 AS change, n.requests, b.requests AS earlier_requests, u.started AS earlier,
    u.version AS earlier_version, u.revision AS earlier_revision
FROM now_ n JOIN before b USING ({key}, machine) JOIN runs u ON u.id = b.run
QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY u.started DESC) = 1 ORDER BY change DESC
"""

# Of what was measured several times, the newest counts.
BENCHED = """
WITH told AS (
    SELECT m.* FROM measurements m JOIN benchmarks b ON b.id = m.benchmark WHERE value IS NOT NULL AND {chosen_b}
)
SELECT model_name, backend, precision, browser_name, coalesce(concurrency, 1) AS level,
    max_by(verdict, id) AS verdict, max_by(weights, id) AS weights,
    max_by(value, id) FILTER (WHERE metric = 'time_per_item') AS time,
    max_by(low, id) FILTER (WHERE metric = 'time_per_item') AS low,
    max_by(high, id) FILTER (WHERE metric = 'time_per_item') AS high,
    1 / max_by(nullif(value, 0), id) FILTER (WHERE metric = 'time_per_item') AS throughput,
    max_by(value, id) FILTER (WHERE metric = 'time_over_native') AS over_native,
    max_by(value, id) FILTER (WHERE metric = 'cold_load') AS cold,
    max_by(value, id) FILTER (WHERE metric = 'warm_load') AS warm,
    max_by(value, id) FILTER (WHERE metric = 'cached_load') AS cached,
    max_by(value, id) FILTER (WHERE metric = 'cold_first_run') AS first,
    max_by(value, id) FILTER (WHERE metric = 'memory') AS mb,
    max_by(value, id) FILTER (WHERE metric = 'difference_from_native') AS difference
FROM told WHERE backend <> 'native' GROUP BY ALL HAVING time IS NOT NULL ORDER BY ALL
"""

BENCHMARKS = """
SELECT b.name, b.command, b.started, b.ended, b.status, b.version, b.revision, count(m.id) AS measurements,
    count(m.error) AS errors
FROM benchmarks b LEFT JOIN measurements m ON m.benchmark = b.id WHERE {chosen_b} GROUP BY ALL ORDER BY b.started
"""
