CREATE TABLE audit (
    seq {serial} NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    actor TEXT NOT NULL,
    incident TEXT NOT NULL,
    action TEXT NOT NULL,
    was TEXT,
    state TEXT NOT NULL,
    resolution TEXT,
    severity TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (seq)
);
CREATE INDEX audit_incident ON audit (incident, seq);
CREATE TABLE batches (
    writer TEXT NOT NULL,
    token TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (writer)
);
CREATE TABLE groups (
    id {serial} NOT NULL,
    sink TEXT NOT NULL,
    key TEXT NOT NULL,
    route TEXT NOT NULL,
    kind TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    hold_until DOUBLE PRECISION NOT NULL,
    sent_at DOUBLE PRECISION,
    due_at DOUBLE PRECISION,
    PRIMARY KEY (id),
    CONSTRAINT kind_known CHECK (kind IN ('incident', 'group', 'digest')),
    UNIQUE (sink, key)
);
CREATE INDEX groups_burst ON groups (sink, route, created_at);
CREATE INDEX groups_due ON groups (due_at);
CREATE TABLE hooks (
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    event TEXT NOT NULL,
    repo TEXT NOT NULL,
    number BIGINT NOT NULL,
    due DOUBLE PRECISION NOT NULL,
    attempts INTEGER NOT NULL,
    received_at DOUBLE PRECISION NOT NULL,
    done_at DOUBLE PRECISION,
    PRIMARY KEY (id)
);
CREATE INDEX hooks_due ON hooks (source, done_at, due);
CREATE TABLE incidents (
    id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    rule TEXT NOT NULL,
    name TEXT NOT NULL,
    severity TEXT NOT NULL,
    confidence TEXT NOT NULL,
    state TEXT NOT NULL,
    resolution TEXT,
    masked TEXT NOT NULL,
    first_seen DOUBLE PRECISION NOT NULL,
    last_seen DOUBLE PRECISION NOT NULL,
    occurrences BIGINT NOT NULL,
    reopens INTEGER NOT NULL,
    resolved_at DOUBLE PRECISION,
    owner TEXT,
    runbook TEXT,
    labels TEXT NOT NULL,
    kept INTEGER NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT severity_known CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
    CONSTRAINT confidence_known CHECK (confidence IN ('high', 'medium', 'low')),
    CONSTRAINT state_known CHECK (state IN ('open', 'acknowledged', 'resolved')),
    CONSTRAINT resolution_known CHECK (resolution IN ('revoked', 'false_positive', 'wont_fix', 'used_in_tests')),
    CONSTRAINT resolution_with_resolved CHECK ((state = 'resolved') = (resolution IS NOT NULL)),
    CONSTRAINT resolved_at_with_resolved CHECK ((state = 'resolved') = (resolved_at IS NOT NULL)),
    CONSTRAINT occurrences_positive CHECK (occurrences > 0),
    CONSTRAINT seen_in_order CHECK (first_seen <= last_seen),
    UNIQUE (fingerprint)
);
CREATE INDEX incidents_last_seen ON incidents (last_seen);
CREATE TABLE meta (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (key)
);
CREATE TABLE outbox (
    seq {serial} NOT NULL,
    id TEXT NOT NULL,
    sink TEXT NOT NULL,
    key TEXT NOT NULL,
    reason TEXT NOT NULL,
    incidents TEXT NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    severity TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    next_at DOUBLE PRECISION NOT NULL,
    attempts INTEGER NOT NULL,
    leased_until DOUBLE PRECISION,
    owner TEXT,
    tried TEXT NOT NULL,
    error TEXT,
    finished_at DOUBLE PRECISION,
    PRIMARY KEY (seq),
    CONSTRAINT state_known CHECK (state IN ('pending', 'leased', 'sent', 'dead')),
    CONSTRAINT severity_known CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
    CONSTRAINT lease_with_leased CHECK ((state = 'leased') = (leased_until IS NOT NULL)),
    CONSTRAINT finished_when_done CHECK ((state IN ('sent', 'dead')) = (finished_at IS NOT NULL)),
    UNIQUE (id)
);
CREATE INDEX outbox_done ON outbox (state, finished_at);
CREATE INDEX outbox_next ON outbox (sink, severity, next_at, seq) WHERE state IN ('pending', 'leased');
CREATE INDEX outbox_unsent ON outbox (sink, key, seq) WHERE state IN ('pending', 'leased');
CREATE TABLE positions (
    source TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (source, key)
);
CREATE TABLE receipts (
    sink TEXT NOT NULL,
    key TEXT NOT NULL,
    receipt TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (sink, key)
);
CREATE TABLE alerts (
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    incident TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    provisional INTEGER NOT NULL,
    url TEXT NOT NULL,
    severity TEXT NOT NULL,
    base TEXT NOT NULL,
    state TEXT NOT NULL,
    resolution TEXT,
    created DOUBLE PRECISION NOT NULL,
    updated DOUBLE PRECISION NOT NULL,
    read DOUBLE PRECISION NOT NULL,
    quiet INTEGER NOT NULL,
    summarised INTEGER NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT severity_known CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
    CONSTRAINT base_known CHECK (base IN ('info', 'low', 'medium', 'high', 'critical')),
    CONSTRAINT state_known CHECK (state IN ('open', 'resolved')),
    CONSTRAINT resolution_known CHECK (resolution IN ('revoked', 'false_positive', 'wont_fix', 'used_in_tests')),
    CONSTRAINT resolution_with_resolved CHECK ((state = 'resolved') = (resolution IS NOT NULL)),
    FOREIGN KEY(incident) REFERENCES incidents (id) ON DELETE CASCADE
);
CREATE INDEX alerts_incident ON alerts (incident);
CREATE INDEX alerts_source ON alerts (source, state);
CREATE TABLE findings (
    seq {serial} NOT NULL,
    id TEXT NOT NULL,
    incident TEXT NOT NULL,
    rule TEXT NOT NULL,
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    generation TEXT NOT NULL,
    "offset" BIGINT NOT NULL,
    line BIGINT,
    time DOUBLE PRECISION NOT NULL,
    decode TEXT,
    url TEXT,
    PRIMARY KEY (seq),
    UNIQUE (id),
    FOREIGN KEY(incident) REFERENCES incidents (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX findings_incident ON findings (incident, seq);
CREATE TABLE members (
    "group" {number} NOT NULL,
    incident TEXT NOT NULL,
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    told_state TEXT,
    told_severity TEXT,
    told_occurrences BIGINT,
    told_reopens INTEGER,
    PRIMARY KEY ("group", incident),
    CONSTRAINT told_whole CHECK ((told_state IS NULL) = (told_occurrences IS NULL)),
    FOREIGN KEY("group") REFERENCES groups (id) ON DELETE CASCADE,
    FOREIGN KEY(incident) REFERENCES incidents (id) ON DELETE CASCADE
);
CREATE INDEX members_incident ON members (incident);
INSERT INTO meta VALUES ('schema', '1');
