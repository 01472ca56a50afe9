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
CREATE INDEX events_of_kind ON events (kind, at);
-- All that denials_seen and denial_days need: a storm of denials must not cost a page each.
CREATE INDEX denials ON events (at, vendor, feature, user, host, code, seats) WHERE kind = 'session.denied';

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
CREATE INDEX spans_since ON spans (since);
CREATE INDEX spans_of_user ON spans (user, feature, since);
CREATE INDEX spans_not_given_back ON spans (user, cause) WHERE cause <> 'checked_in';
-- Whose end nobody saw: the event of it may still come.
CREATE INDEX spans_unknown ON spans (session) WHERE cause = 'unknown';

-- Where something is missing, and why.
CREATE TABLE gaps (
    id INTEGER PRIMARY KEY,
    run INTEGER REFERENCES runs (id),
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    events INTEGER,
    reason TEXT NOT NULL
);

-- The days of the server's zone that the history reaches into: from starts (included) to ends (excluded). One that is
-- summed is over, and what was used in it stands in feature_sums and user_sums.
CREATE TABLE days (
    day TEXT PRIMARY KEY,
    starts INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    summed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX days_starts ON days (starts);
CREATE INDEX days_summed ON days (ends) WHERE summed = 1;

-- The spans that ran when a day began. No index can find them else: they began at any time before. There may be more rows
-- here than there are such spans, never fewer; who reads looks at the span.
CREATE TABLE overnight (
    starts INTEGER NOT NULL,
    span INTEGER NOT NULL,
    PRIMARY KEY (starts, span)
) WITHOUT ROWID;

-- What feature_days and user_days say of days that are summed.
CREATE TABLE feature_sums (
    day TEXT NOT NULL,
    vendor TEXT NOT NULL COLLATE NOCASE,
    feature TEXT NOT NULL COLLATE NOCASE,
    peak INTEGER NOT NULL,
    hours REAL NOT NULL,
    sessions INTEGER NOT NULL,
    PRIMARY KEY (day, vendor, feature)
) WITHOUT ROWID;
CREATE TABLE user_sums (
    day TEXT NOT NULL,
    vendor TEXT NOT NULL COLLATE NOCASE,
    feature TEXT NOT NULL COLLATE NOCASE,
    user TEXT NOT NULL COLLATE NOCASE,
    peak INTEGER NOT NULL,
    hours REAL NOT NULL,
    sessions INTEGER NOT NULL,
    PRIMARY KEY (day, feature, user, vendor)
) WITHOUT ROWID;

-- Whatever changes spans or days, overnight and the sums keep up; only what runs into a day is entered with the day
-- (src/history/days.rs). A span that is open gets no row for days that are still to come: a clock that stood years ahead
-- may have left thousands of them. What begins in the last day there is touches nothing of this, and that is nearly
-- everything: the last day is never summed.
CREATE TRIGGER day_gone AFTER DELETE ON days BEGIN
    DELETE FROM overnight WHERE starts = old.starts;
    DELETE FROM feature_sums WHERE day = old.day;
    DELETE FROM user_sums WHERE day = old.day;
END;
CREATE TRIGGER day_unsummed AFTER UPDATE OF summed ON days WHEN old.summed = 1 AND new.summed = 0 BEGIN
    DELETE FROM feature_sums WHERE day = old.day;
    DELETE FROM user_sums WHERE day = old.day;
END;
-- A part that came back was out as a part of its session until then: what was summed before stays right.
CREATE TRIGGER span_begun AFTER INSERT ON spans WHEN new.since < (SELECT max(starts) FROM days) BEGIN
    INSERT OR IGNORE INTO overnight SELECT starts, new.id FROM days
        WHERE starts > new.since AND starts < coalesce(new.until, (SELECT written_until + 1 FROM state));
    UPDATE days SET summed = 0 WHERE summed = 1 AND ends > CASE
        WHEN new.until IS NOT NULL AND EXISTS (SELECT 1 FROM spans WHERE session = new.session AND until IS NULL)
        THEN new.until ELSE new.since END;
END;
CREATE TRIGGER span_ended AFTER UPDATE OF until ON spans WHEN new.since < (SELECT max(starts) FROM days) BEGIN
    INSERT OR IGNORE INTO overnight SELECT starts, new.id FROM days
        WHERE starts > new.since AND starts < coalesce(new.until, (SELECT written_until + 1 FROM state));
    UPDATE days SET summed = 0
        WHERE summed = 1 AND ends > min(coalesce(old.until, new.until, 0), coalesce(new.until, old.until, 0));
END;
CREATE TRIGGER span_moved AFTER UPDATE OF since ON spans
    WHEN old.since <> new.since AND min(old.since, new.since) < (SELECT max(starts) FROM days) BEGIN
    INSERT OR IGNORE INTO overnight SELECT starts, new.id FROM days
        WHERE starts > new.since AND starts < coalesce(new.until, (SELECT written_until + 1 FROM state));
    UPDATE days SET summed = 0 WHERE summed = 1 AND ends > min(old.since, new.since);
END;

-- One row: what is older than kept_from was pruned, and until written_until everything is there but for gaps.
CREATE TABLE state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    kept_from INTEGER NOT NULL,
    written_until INTEGER NOT NULL
);

-- Denials, and whether nothing made them good: src/counts/denials.rs says what that is, and gives the milliseconds.
CREATE VIEW denials_seen AS
SELECT e.id, e.at, e.vendor, e.feature, e.user, e.host, e.code, e.seats,
    NOT EXISTS (
        SELECT 1 FROM spans s
        WHERE s.user = e.user AND s.feature = e.feature AND s.since > e.at AND s.since <= e.at + MADE_GOOD_MS
    ) AS is_true
FROM events e
WHERE e.kind = 'session.denied';

-- The part of each span that lies in each day. CROSS JOIN keeps the order: the day first.
CREATE VIEW span_days AS
SELECT d.day, s.vendor, s.feature, s.user, s.host, s.seats, s.session, s.since,
    min(coalesce(s.until, (SELECT written_until FROM state)), d.ends) AS until
FROM days d CROSS JOIN spans s ON s.since >= d.starts AND s.since < d.ends
WHERE coalesce(s.until, (SELECT written_until FROM state)) > s.since
UNION ALL
SELECT d.day, s.vendor, s.feature, s.user, s.host, s.seats, s.session, d.starts,
    min(coalesce(s.until, (SELECT written_until FROM state)), d.ends)
FROM days d CROSS JOIN overnight o ON o.starts = d.starts CROSS JOIN spans s ON s.id = o.span
WHERE s.since < d.starts AND coalesce(s.until, (SELECT written_until FROM state)) > d.starts;

-- By day and feature: the most seats that were out at one moment, seat hours, sessions.
CREATE VIEW feature_days AS
WITH steps AS (
    SELECT day, vendor, feature, since AS at, seats AS change, 0 AS held, NULL AS session
    FROM span_days WHERE day IN (SELECT day FROM days WHERE summed = 0)
    UNION ALL
    SELECT day, vendor, feature, until, -seats, (until - since) * seats, session
    FROM span_days WHERE day IN (SELECT day FROM days WHERE summed = 0)
),
levels AS (
    SELECT day, vendor, feature, held, session,
        sum(change) OVER (PARTITION BY day, vendor, feature ORDER BY at, change ROWS UNBOUNDED PRECEDING) AS used
    FROM steps
)
SELECT day, vendor, feature, max(used) AS peak, sum(held) / 3600000.0 AS hours, count(DISTINCT session) AS sessions
FROM levels GROUP BY day, vendor, feature
UNION ALL
SELECT day, vendor, feature, peak, hours, sessions FROM feature_sums;

-- The same by day, feature and user.
CREATE VIEW user_days AS
WITH steps AS (
    SELECT day, vendor, feature, user, since AS at, seats AS change, 0 AS held, NULL AS session
    FROM span_days WHERE day IN (SELECT day FROM days WHERE summed = 0)
    UNION ALL
    SELECT day, vendor, feature, user, until, -seats, (until - since) * seats, session
    FROM span_days WHERE day IN (SELECT day FROM days WHERE summed = 0)
),
levels AS (
    SELECT day, vendor, feature, user, held, session,
        sum(change) OVER (PARTITION BY day, vendor, feature, user ORDER BY at, change ROWS UNBOUNDED PRECEDING) AS used
    FROM steps
)
SELECT day, vendor, feature, user, max(used) AS peak, sum(held) / 3600000.0 AS hours,
    count(DISTINCT session) AS sessions
FROM levels GROUP BY day, vendor, feature, user
UNION ALL
SELECT day, vendor, feature, user, peak, hours, sessions FROM user_sums;

-- By day, feature and code.
CREATE VIEW denial_days AS
SELECT d.day, n.vendor, n.feature, n.code, count(*) AS denials, sum(n.is_true) AS true_denials
FROM days d CROSS JOIN denials_seen n ON n.at >= d.starts AND n.at < d.ends
GROUP BY d.day, n.vendor, n.feature, n.code;
