-- What is asked for, from the tables of schema.sql.

-- Every answered or failed request with all that is known of it.
CREATE OR REPLACE VIEW results AS
SELECT i.id, i.run, i.timestamp, r.machine, i.session, s.model AS model_sha256, s.model_name, s.family, s.weights,
    m.cid AS model_cid, m.nbytes AS model_nbytes, s.asked, s.backend, s.reason, s.precision, s.browser AS browser_id,
    s.browser_name, s.routing, s.engine, s.engine_version, s.runtime, s.lane, s.verdict, s.evidence, s.shape, s.rewritten,
    s.placement, s.decision, i.queue, i.wait, i.run_time, i.transfer, i.total, i.items, i.batch, i.attempts, i.error_code, i.error,
    s.details
FROM inferences i LEFT JOIN sessions s ON s.id = i.session LEFT JOIN models m ON m.sha256 = s.model
LEFT JOIN runs r ON r.id = i.run;

-- The guide's flat table. Memory is the browser's, as it was measured within 10 seconds; energy is items per joule of the
-- machine's processors, from one sample to the next.
CREATE OR REPLACE VIEW webnn_webgpu_results AS
SELECT i.id, i.timestamp, s.model_name, s.family AS model_type, s.backend AS platform, s.browser_name AS browser,
    TRUE AS is_real_implementation, FALSE AS is_simulation,
    CAST(CASE WHEN s.precision LIKE 'q4%' THEN 4 WHEN s.precision = 'uint8' THEN 8
        ELSE TRY_CAST(regexp_extract(s.precision, '([0-9]+)$', 1) AS INTEGER) END AS INTEGER) AS precision,
    s.precision = 'q4-mixed' AS mixed_precision,
    starts_with(m.origin, 'ipfs') AS ipfs_accelerated, s.ipfs_cache_hit,
    coalesce(TRY_CAST(s.details ->> '$.compute_shader_optimized' AS BOOLEAN), FALSE) AS compute_shader_optimized,
    s.backend = 'webgpu' AND coalesce(TRY_CAST(s.details ->> '$.warmed' AS BOOLEAN), FALSE) AS precompile_shaders,
    coalesce(TRY_CAST(s.details ->> '$.parallel_loading' AS BOOLEAN), FALSE) AS parallel_loading,
    i.total * 1000 AS latency_ms, i.items / nullif(i.total, 0) AS throughput_items_per_sec,
    CASE WHEN i.timestamp - earlier.timestamp <= INTERVAL 10 SECONDS THEN earlier.memory_mb
        WHEN later.timestamp - i.timestamp <= INTERVAL 10 SECONDS THEN later.memory_mb END AS memory_usage_mb,
    sample.items / nullif(sample.energy_j, 0) AS energy_efficiency_score,
    b.adapter AS adapter_info, concat_ws(', ', c.os, c.cpu, c.cores || ' cores') AS system_info,
    json_object('asked', s.asked, 'reason', s.reason, 'verdict', s.verdict, 'precision', s.precision, 'weights', s.weights,
        'model_sha256', s.model, 'lane', s.lane, 'runtime', s.runtime, 'engine_version', s.engine_version,
        'inference_time_ms', i.run_time * 1000, 'batch', i.batch, 'attempts', i.attempts) AS details
FROM inferences i JOIN sessions s ON s.id = i.session LEFT JOIN models m ON m.sha256 = s.model
LEFT JOIN browsers b ON b.id = s.browser LEFT JOIN runs r ON r.id = i.run LEFT JOIN machines c ON c.id = r.machine
ASOF LEFT JOIN browser_samples earlier ON earlier.browser = s.browser AND i.timestamp >= earlier.timestamp
ASOF LEFT JOIN browser_samples later ON later.browser = s.browser AND i.timestamp < later.timestamp
ASOF LEFT JOIN samples sample ON sample.run = i.run AND i.timestamp <= sample.timestamp
WHERE i.error_code IS NULL;

-- The guide's table of connections: a browser is one.
CREATE OR REPLACE VIEW browser_connection_metrics AS
SELECT b.name AS browser_name, w.platform, b.label AS connection_id,
    epoch(coalesce(b.ended, r.ended, w.latest) - b.started) AS connection_duration_sec,
    coalesce(w.models_executed, 0) AS models_executed,
    coalesce(w.total_inference_time_sec, 0) AS total_inference_time_sec,
    coalesce(w.error_count, 0) + CASE WHEN b.lost THEN 1 ELSE 0 END AS error_count,
    b.started IS NOT NULL AS connection_success, b.heartbeat_failures,
    b.engine_version AS browser_version, b.adapter AS adapter_info, CAST(b.backends AS TEXT) AS backend_info
FROM browsers b LEFT JOIN runs r ON r.id = b.run LEFT JOIN (
    SELECT s.browser, string_agg(DISTINCT s.backend, ', ' ORDER BY s.backend) AS platform,
        count(DISTINCT s.model) AS models_executed, sum(i.run_time / i.batch) AS total_inference_time_sec,
        count(i.error_code) AS error_count, max(i.timestamp) AS latest
    FROM inferences i JOIN sessions s ON s.id = i.session GROUP BY s.browser
) w ON w.browser = b.id;
