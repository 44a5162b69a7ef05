-- What is kept of every run. Times are in seconds, memory in 10^6 bytes, timestamps in UTC; NULL where nothing was measured.
-- Identities are made by whoever writes: no two files have the same, so that one can be merged into another as it is.
-- Tables that are written with every request have no keys that would have to be checked;
-- views.sql has the views, and docs/reference/database.md tells them all.

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
    pid INTEGER, started TIMESTAMP, launch_seconds DOUBLE, ended TIMESTAMP, lost BOOLEAN, cause TEXT, details JSON,
    heartbeat_failures INTEGER        -- pings that its page left unanswered until the next was due
);

CREATE TABLE sessions (               -- what requests have in common: a model on a lane, and how it came there
    id BIGINT PRIMARY KEY,
    run BIGINT, timestamp TIMESTAMP, browser BIGINT, lane TEXT,
    model TEXT, model_name TEXT, family TEXT, weights TEXT, precision TEXT,
    asked TEXT, backend TEXT, reason TEXT, browser_name TEXT, routing TEXT,
    engine TEXT, engine_version TEXT, runtime TEXT, verdict TEXT, evidence JSON, shape JSON, rewritten JSON,
    placement JSON, details JSON,
    ipfs_cache_hit BOOLEAN,           -- of a model named by its CID: nothing of it had to be fetched in this run
    decision JSON                     -- why it ran there, and what else there was, when its first request was answered
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
    browsers INTEGER, browser_mb DOUBLE, python_mb DOUBLE, available_mb DOUBLE,
    items INTEGER,                    -- rows answered since the sample before
    energy_j DOUBLE                   -- what the machine's processors took since then, all programs together; of no time that was idle for a tenth
);

CREATE TABLE browser_samples (        -- at the same time, the memory of each browser's processes
    id BIGINT, run BIGINT, timestamp TIMESTAMP, browser BIGINT, memory_mb DOUBLE
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

CREATE TABLE tunings (                -- contests that were run on purpose, by `webinfer tune` or model.tune
    id BIGINT, run BIGINT, timestamp TIMESTAMP, machine TEXT,
    model TEXT,                       -- hash of the full-precision model
    model_name TEXT,
    browser_name TEXT, engine_version TEXT, backend TEXT, precision TEXT,  -- of the winner, with what follows
    lanes INTEGER, threads INTEGER, batch_size INTEGER, workgroup TEXT,
    seconds DOUBLE,                   -- of an item
    gain DOUBLE, gain_low DOUBLE, gain_high DOUBLE,  -- the next one's time in units of the winner's; NULL where it was alone
    cost DOUBLE,                      -- seconds that the contest took
    details JSON                      -- the whole result: every candidate, its figures, why it left
);
