-- What docs/HISTORY.md describes. Times are Unix milliseconds. Written by the daemon alone; everybody else reads.

-- Each start of the daemon.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    started_at INTEGER NOT NULL
);

-- Each event (docs/EVENTS.md). A column is null where the kind has no such field; what has no column is in json.
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    vendor TEXT COLLATE NOCASE,
    feature TEXT COLLATE NOCASE,
    user TEXT COLLATE NOCASE,
    host TEXT COLLATE NOCASE,
    seats INTEGER,
    code TEXT,
    cause TEXT,
    version TEXT,
    release_date TEXT,
    session TEXT,
    bundle TEXT,
    json TEXT NOT NULL
);
CREATE INDEX denials ON events (at) WHERE kind = 'session.denied';

-- Who had how many seats, from when (included) to when (excluded; null: still). A session of which some seats were
-- given back before the others has a row for each part.
CREATE TABLE spans (
    id INTEGER PRIMARY KEY,
    session TEXT NOT NULL,
    bundle TEXT NOT NULL,
    vendor TEXT NOT NULL COLLATE NOCASE,
    feature TEXT NOT NULL COLLATE NOCASE,
    user TEXT NOT NULL COLLATE NOCASE,
    host TEXT NOT NULL COLLATE NOCASE,
    seats INTEGER NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    cause TEXT,
    version TEXT,
    release_date TEXT,
    borrow INTEGER NOT NULL
);
CREATE UNIQUE INDEX open_spans ON spans (session) WHERE until IS NULL;
CREATE INDEX spans_until ON spans (until);
CREATE INDEX spans_of_user ON spans (user, feature, since);

-- Where something is missing, and why.
CREATE TABLE gaps (
    id INTEGER PRIMARY KEY,
    run INTEGER REFERENCES runs (id),
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    events INTEGER,
    reason TEXT NOT NULL
);

-- The days of the server's zone that the history reaches into: from starts (included) to ends (excluded).
CREATE TABLE days (
    day TEXT PRIMARY KEY,
    starts INTEGER NOT NULL,
    ends INTEGER NOT NULL
);

-- One row: what is older than kept_from was pruned, and until written_until everything is there but for gaps.
CREATE TABLE state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    kept_from INTEGER NOT NULL,
    written_until INTEGER NOT NULL
);

-- Denials, and whether the same user had the same feature within five minutes after all. One that is younger than
-- that may still be made good.
CREATE VIEW denials_seen AS
SELECT e.id, e.at, e.vendor, e.feature, e.user, e.host, e.code, e.seats,
    NOT EXISTS (
        SELECT 1 FROM spans s
        WHERE s.user = e.user AND s.feature = e.feature AND s.since BETWEEN e.at AND e.at + 300000
            AND (e.vendor IS NULL OR s.vendor = e.vendor)
    ) AS is_true
FROM events e
WHERE e.kind = 'session.denied';

-- The part of each span that lies in each day.
CREATE VIEW span_days AS
SELECT d.day, s.vendor, s.feature, s.user, s.host, s.seats, s.session,
    max(s.since, d.starts) AS since,
    min(coalesce(s.until, (SELECT written_until FROM state)), d.ends) AS until
FROM days d
JOIN spans s ON s.since < d.ends
    AND coalesce(s.until, (SELECT written_until FROM state)) > max(s.since, d.starts);

-- By day and feature: the most seats that were out at one moment, seat hours, sessions.
CREATE VIEW feature_days AS
WITH steps AS (
    SELECT day, vendor, feature, since AS at, seats AS change FROM span_days
    UNION ALL
    SELECT day, vendor, feature, until, -seats FROM span_days
),
levels AS (
    SELECT day, vendor, feature,
        sum(change) OVER (PARTITION BY day, vendor, feature ORDER BY at, change ROWS UNBOUNDED PRECEDING) AS used
    FROM steps
),
peaks AS (SELECT day, vendor, feature, max(used) AS peak FROM levels GROUP BY day, vendor, feature),
sums AS (
    SELECT day, vendor, feature, sum((until - since) * seats) / 3600000.0 AS hours, count(DISTINCT session) AS sessions
    FROM span_days GROUP BY day, vendor, feature
)
SELECT day, vendor, feature, peak, hours, sessions FROM sums JOIN peaks USING (day, vendor, feature);

-- The same by day, feature and user.
CREATE VIEW user_days AS
WITH steps AS (
    SELECT day, vendor, feature, user, since AS at, seats AS change FROM span_days
    UNION ALL
    SELECT day, vendor, feature, user, until, -seats FROM span_days
),
levels AS (
    SELECT day, vendor, feature, user,
        sum(change) OVER (PARTITION BY day, vendor, feature, user ORDER BY at, change ROWS UNBOUNDED PRECEDING) AS used
    FROM steps
),
peaks AS (SELECT day, vendor, feature, user, max(used) AS peak FROM levels GROUP BY day, vendor, feature, user),
sums AS (
    SELECT day, vendor, feature, user, sum((until - since) * seats) / 3600000.0 AS hours,
        count(DISTINCT session) AS sessions
    FROM span_days GROUP BY day, vendor, feature, user
)
SELECT day, vendor, feature, user, peak, hours, sessions FROM sums JOIN peaks USING (day, vendor, feature, user);

-- By day, feature and code.
CREATE VIEW denial_days AS
SELECT d.day, n.vendor, n.feature, n.code, count(*) AS denials, sum(n.is_true) AS true_denials
FROM days d JOIN denials_seen n ON n.at >= d.starts AND n.at < d.ends
GROUP BY d.day, n.vendor, n.feature, n.code;
