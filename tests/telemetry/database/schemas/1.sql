-- What is kept of every run. Times are in seconds, memory in 10^6 bytes, timestamps in UTC; NULL where nothing was measured.
-- Identities are made by whoever writes: no two files have the same, so that one can be merged into another as it is.
-- Tables that are written with every request have no keys that would have to be checked; docs/database.md tells them all.

CREATE TABLE machines (
    id TEXT PRIMARY KEY,              -- hash of what follows, but for the versions
    hostname TEXT, os TEXT, cpu TEXT, cores INTEGER, memory_mb DOUBLE, python TEXT, details JSON
);

CREATE TABLE runs (                   -- an accelerator, from its start to its end
    id BIGINT PRIMARY KEY,
    machine TEXT, started TIMESTAMP, ended TIMESTAMP, pid INTEGER,
    version TEXT,                     -- of webinfer
    revision TEXT,                    -- of its source in git, where it runs from there
    options JSON,
    dropped BIGINT,                   -- rows that could not be recorded
    clock_jumps INTEGER               -- how often the machine's clock was set back meanwhile
);

CREATE TABLE models (
    sha256 TEXT PRIMARY KEY,
    name TEXT, cid TEXT, family TEXT, weights TEXT, nbytes BIGINT, origin TEXT, details JSON
);

CREATE TABLE browsers (               -- one launched browser, or one launch that failed: then started is NULL
    id BIGINT PRIMARY KEY,
    run BIGINT, label TEXT, name TEXT, engine TEXT, engine_version TEXT, adapter TEXT, backends JSON, verdicts JSON,
    pid INTEGER, started TIMESTAMP, launch_seconds DOUBLE, ended TIMESTAMP, lost BOOLEAN, cause TEXT, details JSON
);

CREATE TABLE sessions (               -- what requests have in common: a model on a lane, and how it came there
    id BIGINT PRIMARY KEY,
    run BIGINT, timestamp TIMESTAMP, browser BIGINT, lane TEXT,
    model TEXT, model_name TEXT, family TEXT, weights TEXT, precision TEXT,
    asked TEXT, backend TEXT, reason TEXT, browser_name TEXT, routing TEXT,
    engine TEXT, engine_version TEXT, runtime TEXT, verdict TEXT, evidence JSON, shape JSON, rewritten JSON,
    placement JSON, details JSON
);

CREATE TABLE loads (                  -- sessions created on lanes, and those that could not be
    id BIGINT, run BIGINT, timestamp TIMESTAMP, browser BIGINT, lane TEXT, model TEXT, backend TEXT, precision TEXT,
    shape JSON, nbytes BIGINT, stored BIGINT, seconds DOUBLE, fetch_time DOUBLE, create_time DOUBLE, error_code TEXT, error TEXT
);

CREATE TABLE inferences (             -- every request, answered or failed: then error_code says why
    id BIGINT, run BIGINT, timestamp TIMESTAMP, session BIGINT,
    queue DOUBLE, wait DOUBLE, run_time DOUBLE, transfer DOUBLE, total DOUBLE,
    items INTEGER, batch INTEGER, attempts INTEGER, error_code TEXT, error TEXT
);

CREATE TABLE batches (                -- runs of models with dynamic batching
    id BIGINT, run BIGINT, timestamp TIMESTAMP, lane TEXT, model TEXT, backend TEXT, size INTEGER, seconds DOUBLE
);

CREATE TABLE samples (                -- the pool, now and then while it works
    id BIGINT, run BIGINT, timestamp TIMESTAMP, queued INTEGER, running INTEGER, lanes INTEGER, busy INTEGER,
    browsers INTEGER, browser_mb DOUBLE, python_mb DOUBLE, available_mb DOUBLE
);

CREATE TABLE faults (                 -- attempts that failed, lanes and browsers that were lost, launches that failed
    id BIGINT, run BIGINT, timestamp TIMESTAMP, kind TEXT, code TEXT, place TEXT, model TEXT, backend TEXT,
    attempts INTEGER, retried BOOLEAN, reason TEXT
);

CREATE TABLE recoveries (             -- what came after a loss; seconds since that loss
    id BIGINT, run BIGINT, timestamp TIMESTAMP, kind TEXT, place TEXT, seconds DOUBLE
);

CREATE TABLE accuracy_checks (        -- answers held against a reference
    id BIGINT, run BIGINT, timestamp TIMESTAMP, model TEXT, model_name TEXT, precision TEXT, backend TEXT, browser_name TEXT,
    reference TEXT, metric TEXT, value DOUBLE, threshold DOUBLE, passed BOOLEAN, nbytes BIGINT, details JSON
);

CREATE TABLE benchmarks (             -- a benchmark: what was to be measured, where and with what
    id BIGINT PRIMARY KEY,
    run BIGINT, machine TEXT, started TIMESTAMP, ended TIMESTAMP, name TEXT, command TEXT, version TEXT, revision TEXT,
    configuration JSON, status TEXT, details JSON
);

CREATE TABLE measurements (           -- what a benchmark found
    id BIGINT, benchmark BIGINT, timestamp TIMESTAMP, label TEXT, model_name TEXT, model TEXT, family TEXT, weights TEXT,
    backend TEXT, precision TEXT, browser_name TEXT, engine_version TEXT, verdict TEXT, concurrency INTEGER, batch INTEGER,
    metric TEXT, unit TEXT, value DOUBLE, low DOUBLE, high DOUBLE, count INTEGER, raw DOUBLE[], error TEXT, details JSON
);

-- Every answered or failed request with all that is known of it.
CREATE VIEW results AS
SELECT i.id, i.run, i.timestamp, r.machine, i.session, s.model AS model_sha256, s.model_name, s.family, s.weights,
    m.cid AS model_cid, m.nbytes AS model_nbytes, s.asked, s.backend, s.reason, s.precision, s.browser AS browser_id,
    s.browser_name, s.routing, s.engine, s.engine_version, s.runtime, s.lane, s.verdict, s.evidence, s.shape, s.rewritten,
    s.placement, i.queue, i.wait, i.run_time, i.transfer, i.total, i.items, i.batch, i.attempts, i.error_code, i.error,
    s.details
FROM inferences i LEFT JOIN sessions s ON s.id = i.session LEFT JOIN models m ON m.sha256 = s.model
LEFT JOIN runs r ON r.id = i.run;

-- The guide's flat table.
CREATE VIEW webnn_webgpu_results AS
SELECT i.id, i.timestamp, s.model_name, s.family AS model_type, s.backend AS platform, s.browser_name AS browser,
    TRUE AS is_real_implementation, FALSE AS is_simulation,
    CAST(CASE WHEN s.precision LIKE 'q4%' THEN 4 WHEN s.precision = 'uint8' THEN 8
        ELSE TRY_CAST(regexp_extract(s.precision, '([0-9]+)$', 1) AS INTEGER) END AS INTEGER) AS precision,
    s.precision = 'q4-mixed' AS mixed_precision,
    starts_with(m.origin, 'ipfs') AS ipfs_accelerated, CAST(NULL AS BOOLEAN) AS ipfs_cache_hit,
    coalesce(TRY_CAST(s.details ->> '$.compute_shader_optimized' AS BOOLEAN), FALSE) AS compute_shader_optimized,
    s.backend = 'webgpu' AND coalesce(TRY_CAST(s.details ->> '$.warmed' AS BOOLEAN), FALSE) AS precompile_shaders,
    coalesce(TRY_CAST(s.details ->> '$.parallel_loading' AS BOOLEAN), FALSE) AS parallel_loading,
    i.total * 1000 AS latency_ms, i.items / nullif(i.total, 0) AS throughput_items_per_sec,
    CAST(NULL AS DOUBLE) AS memory_usage_mb, CAST(NULL AS DOUBLE) AS energy_efficiency_score,
    b.adapter AS adapter_info, concat_ws(', ', c.os, c.cpu, c.cores || ' cores') AS system_info,
    json_object('asked', s.asked, 'reason', s.reason, 'verdict', s.verdict, 'precision', s.precision, 'weights', s.weights,
        'model_sha256', s.model, 'lane', s.lane, 'runtime', s.runtime, 'engine_version', s.engine_version,
        'inference_time_ms', i.run_time * 1000, 'batch', i.batch, 'attempts', i.attempts) AS details
FROM inferences i JOIN sessions s ON s.id = i.session LEFT JOIN models m ON m.sha256 = s.model
LEFT JOIN browsers b ON b.id = s.browser LEFT JOIN runs r ON r.id = i.run LEFT JOIN machines c ON c.id = r.machine
WHERE i.error_code IS NULL;

-- The guide's table of connections: a browser is one.
CREATE VIEW browser_connection_metrics AS
SELECT b.name AS browser_name, w.platform, b.label AS connection_id,
    epoch(coalesce(b.ended, r.ended, w.latest) - b.started) AS connection_duration_sec,
    coalesce(w.models_executed, 0) AS models_executed,
    coalesce(w.total_inference_time_sec, 0) AS total_inference_time_sec,
    coalesce(w.error_count, 0) + CASE WHEN b.lost THEN 1 ELSE 0 END AS error_count,
    b.started IS NOT NULL AS connection_success, CAST(NULL AS INTEGER) AS heartbeat_failures,
    b.engine_version AS browser_version, b.adapter AS adapter_info, CAST(b.backends AS TEXT) AS backend_info
FROM browsers b LEFT JOIN runs r ON r.id = b.run LEFT JOIN (
    SELECT s.browser, string_agg(DISTINCT s.backend, ', ' ORDER BY s.backend) AS platform,
        count(DISTINCT s.model) AS models_executed, sum(i.run_time / i.batch) AS total_inference_time_sec,
        count(i.error_code) AS error_count, max(i.timestamp) AS latest
    FROM inferences i JOIN sessions s ON s.id = i.session GROUP BY s.browser
) w ON w.browser = b.id;
