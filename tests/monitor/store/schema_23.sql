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
    step TEXT,
    mac TEXT,
    PRIMARY KEY (seq)
);
CREATE INDEX audit_incident ON audit (incident, seq);
CREATE TABLE batches (
    writer TEXT NOT NULL,
    token TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (writer)
);
CREATE TABLE canaries (
    fingerprint TEXT NOT NULL,
    first TEXT NOT NULL,
    name TEXT NOT NULL,
    rule TEXT NOT NULL,
    place TEXT NOT NULL,
    node TEXT NOT NULL,
    path TEXT,
    "offset" BIGINT,
    at DOUBLE PRECISION NOT NULL,
    by TEXT NOT NULL,
    PRIMARY KEY (fingerprint)
);
CREATE INDEX canaries_name ON canaries (name);
CREATE TABLE drills (
    fingerprint TEXT NOT NULL,
    pages INTEGER NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (fingerprint)
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
CREATE TABLE habits (
    secret TEXT NOT NULL,
    principal TEXT NOT NULL,
    state TEXT NOT NULL,
    last DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (secret, principal)
);
CREATE INDEX habits_last ON habits (last);
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
    first_logged DOUBLE PRECISION,
    validity TEXT,
    verified TEXT,
    base_severity TEXT,
    merged TEXT,
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
CREATE INDEX incidents_standing ON incidents (severity, last_seen) WHERE state != 'resolved';
CREATE TABLE marks (
    mark TEXT NOT NULL,
    secret TEXT NOT NULL,
    last DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (mark, secret)
);
CREATE INDEX marks_last ON marks (last);
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
    node TEXT DEFAULT '' NOT NULL,
    source TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (node, source, key)
);
CREATE TABLE read_ids (
    id TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX read_ids_at ON read_ids (at);
CREATE TABLE reads (
    id TEXT NOT NULL,
    secret TEXT NOT NULL,
    principal TEXT NOT NULL,
    address TEXT NOT NULL,
    outcome TEXT NOT NULL,
    hour BIGINT NOT NULL,
    source TEXT NOT NULL,
    names TEXT NOT NULL,
    agent TEXT NOT NULL,
    first DOUBLE PRECISION NOT NULL,
    last DOUBLE PRECISION NOT NULL,
    times BIGINT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT outcome_known CHECK (outcome IN ('read', 'denied', 'used'))
);
CREATE INDEX reads_last ON reads (last);
CREATE INDEX reads_secret ON reads (secret, last);
CREATE TABLE receipts (
    sink TEXT NOT NULL,
    key TEXT NOT NULL,
    receipt TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (sink, key)
);
CREATE TABLE requests (
    id TEXT NOT NULL,
    sink TEXT NOT NULL,
    verb TEXT NOT NULL,
    actor TEXT NOT NULL,
    incident TEXT NOT NULL,
    key TEXT NOT NULL,
    detail TEXT NOT NULL,
    note TEXT NOT NULL,
    refusal TEXT NOT NULL,
    answer TEXT NOT NULL,
    received_at DOUBLE PRECISION NOT NULL,
    done_at DOUBLE PRECISION,
    refused INTEGER,
    outcome TEXT NOT NULL,
    due DOUBLE PRECISION NOT NULL,
    attempts INTEGER NOT NULL,
    told_at DOUBLE PRECISION,
    place TEXT DEFAULT '' NOT NULL,
    at DOUBLE PRECISION DEFAULT '0' NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX requests_done ON requests (done_at);
CREATE TABLE secret_versions (
    id {serial} NOT NULL,
    entry TEXT NOT NULL,
    name TEXT NOT NULL,
    mark TEXT NOT NULL,
    version TEXT NOT NULL,
    standing TEXT NOT NULL,
    created DOUBLE PRECISION,
    rotated DOUBLE PRECISION,
    expires DOUBLE PRECISION,
    digest TEXT NOT NULL,
    first_seen DOUBLE PRECISION NOT NULL,
    last_seen DOUBLE PRECISION NOT NULL,
    replaced_at DOUBLE PRECISION,
    PRIMARY KEY (id),
    CONSTRAINT standing_known CHECK (standing IN ('current', 'previous', 'retired')),
    UNIQUE (entry, name, mark)
);
CREATE TABLE secrets (
    entry TEXT NOT NULL,
    name TEXT NOT NULL,
    environment TEXT NOT NULL,
    owner TEXT NOT NULL,
    consumers TEXT NOT NULL,
    tags TEXT NOT NULL,
    refused TEXT NOT NULL,
    unread INTEGER NOT NULL,
    first_seen DOUBLE PRECISION NOT NULL,
    last_seen DOUBLE PRECISION NOT NULL,
    gone_at DOUBLE PRECISION,
    missed_at DOUBLE PRECISION,
    PRIMARY KEY (entry, name)
);
CREATE TABLE silence_rules (
    id TEXT NOT NULL,
    matchers TEXT NOT NULL,
    starts DOUBLE PRECISION NOT NULL,
    ends DOUBLE PRECISION NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    ended_by TEXT,
    ended_why TEXT,
    PRIMARY KEY (id)
);
CREATE TABLE suppressions (
    fingerprint TEXT NOT NULL,
    reason TEXT NOT NULL,
    by TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    until DOUBLE PRECISION NOT NULL,
    closed INTEGER NOT NULL,
    seen BIGINT NOT NULL,
    first_seen DOUBLE PRECISION,
    last_seen DOUBLE PRECISION,
    latest TEXT,
    PRIMARY KEY (fingerprint)
);
CREATE TABLE syncs (
    entry TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    whole_at DOUBLE PRECISION,
    held BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (entry)
);
CREATE TABLE totals (
    node TEXT NOT NULL,
    turn BIGINT NOT NULL,
    incidents BIGINT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    since DOUBLE PRECISION NOT NULL,
    taken BIGINT NOT NULL,
    sum TEXT NOT NULL,
    nonce TEXT NOT NULL,
    seal TEXT NOT NULL,
    PRIMARY KEY (node)
);
CREATE TABLE trails (
    incident TEXT NOT NULL,
    entries BIGINT NOT NULL,
    mac TEXT NOT NULL,
    seal TEXT NOT NULL,
    turn BIGINT DEFAULT '0' NOT NULL,
    state TEXT DEFAULT '' NOT NULL,
    actions TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (incident)
);
CREATE TABLE wrappings (
    token TEXT NOT NULL,
    secret TEXT NOT NULL,
    principal TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (token)
);
CREATE INDEX wrappings_at ON wrappings (at);
CREATE TABLE actions (
    id TEXT NOT NULL,
    incident TEXT NOT NULL,
    action TEXT NOT NULL,
    state TEXT NOT NULL,
    automatic INTEGER NOT NULL,
    asked INTEGER DEFAULT '0' NOT NULL,
    needed INTEGER NOT NULL,
    approvals TEXT NOT NULL,
    parts TEXT NOT NULL,
    planned_by TEXT NOT NULL,
    planned_at DOUBLE PRECISION NOT NULL,
    started_at DOUBLE PRECISION,
    finished_at DOUBLE PRECISION,
    step INTEGER NOT NULL,
    node TEXT NOT NULL,
    owner TEXT,
    outcome TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT state_known CHECK (state IN ('planned', 'approved', 'running', 'accepted', 'completed', 'failed', 'unknown')),
    CONSTRAINT owner_with_running CHECK ((state = 'running') = (owner IS NOT NULL)),
    FOREIGN KEY(incident) REFERENCES incidents (id) ON DELETE CASCADE
);
CREATE INDEX actions_incident ON actions (incident);
CREATE INDEX actions_state ON actions (state);
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
CREATE TABLE asks (
    incident TEXT NOT NULL,
    node TEXT NOT NULL,
    due DOUBLE PRECISION NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (incident, node),
    FOREIGN KEY(incident) REFERENCES incidents (id) ON DELETE CASCADE
);
CREATE INDEX asks_due ON asks (node, due);
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
    node TEXT DEFAULT '' NOT NULL,
    service TEXT,
    logged_at DOUBLE PRECISION,
    context TEXT,
    fingerprint TEXT,
    PRIMARY KEY (seq),
    UNIQUE (id),
    FOREIGN KEY(incident) REFERENCES incidents (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX findings_incident ON findings (incident, seq);
CREATE INDEX findings_source ON findings (source, incident);
CREATE TABLE members (
    "group" {number} NOT NULL,
    incident TEXT NOT NULL,
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    host TEXT DEFAULT '' NOT NULL,
    service TEXT DEFAULT '' NOT NULL,
    held TEXT,
    told_state TEXT,
    told_severity TEXT,
    told_occurrences BIGINT,
    told_reopens INTEGER,
    told_validity TEXT,
    PRIMARY KEY ("group", incident),
    CONSTRAINT told_whole CHECK ((told_state IS NULL) = (told_occurrences IS NULL)),
    FOREIGN KEY("group") REFERENCES groups (id) ON DELETE CASCADE,
    FOREIGN KEY(incident) REFERENCES incidents (id) ON DELETE CASCADE
);
CREATE INDEX members_held ON members (held);
CREATE INDEX members_incident ON members (incident);
CREATE TABLE merges (
    went TEXT NOT NULL,
    "into" TEXT NOT NULL,
    seq BIGINT NOT NULL,
    before TEXT NOT NULL,
    PRIMARY KEY (went),
    FOREIGN KEY(went) REFERENCES incidents (id) ON DELETE CASCADE,
    FOREIGN KEY("into") REFERENCES incidents (id) ON DELETE CASCADE
);
CREATE INDEX merges_into ON merges ("into");
CREATE TABLE runs (
    incident TEXT NOT NULL,
    book TEXT NOT NULL,
    title TEXT NOT NULL,
    way TEXT NOT NULL,
    why TEXT NOT NULL,
    started DOUBLE PRECISION NOT NULL,
    ended DOUBLE PRECISION,
    due DOUBLE PRECISION,
    PRIMARY KEY (incident),
    CONSTRAINT way_known CHECK (way IN ('contain', 'replace')),
    FOREIGN KEY(incident) REFERENCES incidents (id) ON DELETE CASCADE
);
CREATE INDEX runs_due ON runs (due);
CREATE TABLE secret_prints (
    version {number} NOT NULL,
    fingerprint TEXT NOT NULL,
    part TEXT NOT NULL,
    length INTEGER NOT NULL,
    alphabet TEXT NOT NULL,
    PRIMARY KEY (version, fingerprint),
    FOREIGN KEY(version) REFERENCES secret_versions (id) ON DELETE CASCADE
);
CREATE INDEX secret_prints_fingerprint ON secret_prints (fingerprint);
CREATE TABLE silences (
    incident TEXT NOT NULL,
    until DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (incident),
    FOREIGN KEY(incident) REFERENCES incidents (id) ON DELETE CASCADE
);
CREATE TABLE steps (
    incident TEXT NOT NULL,
    step TEXT NOT NULL,
    place INTEGER NOT NULL,
    title TEXT NOT NULL,
    phase TEXT NOT NULL,
    actor TEXT NOT NULL,
    within DOUBLE PRECISION NOT NULL,
    deadline DOUBLE PRECISION NOT NULL,
    since DOUBLE PRECISION NOT NULL,
    needs TEXT NOT NULL,
    claims TEXT,
    shows TEXT,
    quiet DOUBLE PRECISION DEFAULT '0' NOT NULL,
    state TEXT NOT NULL,
    owner TEXT,
    note TEXT NOT NULL,
    rung INTEGER NOT NULL,
    PRIMARY KEY (incident, step),
    CONSTRAINT state_known CHECK (state IN ('open', 'claimed', 'done', 'skipped', 'failed')),
    FOREIGN KEY(incident) REFERENCES runs (incident) ON DELETE CASCADE
);
INSERT INTO audit VALUES
(1, 5.0, 'monitor', 'old', 'opened', NULL, 'open', NULL, 'high', 'x', NULL, '5d6ea23f12b88caa7943982606a494ea2ddc54896cee0314fb2be9543dec6228'),
(2, 1800000000.0, 'monitor', 'd749929fe94b9a37', 'opened', NULL, 'open', NULL, 'critical', '', NULL, 'e2d06fd71a8e6e9de6fc82e8a72684c69fc3628efe1e988f98d385fbc6f25886'),
(3, 1800000000.0, 'monitor', 'fa34b15a4eb8e91e', 'opened', NULL, 'open', NULL, 'high', '', NULL, '055a718fda7c9d06fc2dbb07ab08daf72f1034f7bbe8be7f47748e2890cde0c3'),
(4, 1800000000.0, 'monitor', '0e09991f37ab7e85', 'opened', NULL, 'open', NULL, 'low', '', NULL, '91c711eb47c199621360cba22b6cf0911af6d87bc2f86d60ec5f0da4505af6f8'),
(5, 1800000000.0, 'monitor', 'd749929fe94b9a37', 'run_started', 'open', 'open', NULL, 'critical', 'generic-secret, contain first: severity critical', '', 'f461566b1698c0b2276c149ca3598f15495cd1bc7ed28e8dfc6f8ba297bc4c22'),
(6, 1800000010.0, 'ada', 'd749929fe94b9a37', 'acknowledged', 'open', 'acknowledged', NULL, 'critical', 'mine', NULL, '682eaf90de629903e7ee038273067fdf7884d2a2be3df9435c1c3d2dd9596d72'),
(7, 1800000010.0, 'ada', 'd749929fe94b9a37', 'step_claimed', 'acknowledged', 'acknowledged', NULL, 'critical', '', 'revoke', '94e6565f06011208f7c6012e3131522d4551ffa240269860845e53d608f61b4a'),
(8, 1800000010.0, 'ada', '0e09991f37ab7e85', 'resolved', 'open', 'resolved', 'revoked', 'low', '', NULL, '0e2364070791681ca13e4b48c5c1bb915203155b23ed4731a43cffe1bcd9a580'),
(9, 1800000010.0, 'ada', 'd749929fe94b9a37', 'verified', 'acknowledged', 'acknowledged', NULL, 'critical', 'valid: GitHub says so; login octocat', NULL, 'ad9417b7e9352c8721246eb2b43faa1c1d4afa86e1860a2535ef4ff5cf81f951'),
(10, 1800000010.0, 'monitor', '46da5b49eea2fbee', 'opened', NULL, 'open', NULL, 'high', '', NULL, 'e256e83aaab80d38f90ffdf32b54b59d64c3cc055e310755f017e02a24666e93'),
(11, 1800000010.0, 'ada', 'd749929fe94b9a37', 'acted', 'acknowledged', 'acknowledged', NULL, 'critical', 'revoke planned (01d8d82701db)', NULL, '1c18dcfa175c72a8e490fd1c799b1152533770d1d18a4d4372d769d4f23ebe29'),
(12, 1800000010.0, 'bob', 'd749929fe94b9a37', 'acted', 'acknowledged', 'acknowledged', NULL, 'critical', 'revoke approved, 1 of 2 (01d8d82701db)', NULL, 'abc38eaf7485b218fc9d770875eec860ec57b93890f73f32a2a39d1512a24e1d'),
(13, 1800000010.0, 'monitor', '0e226967179106e0', 'opened', NULL, 'open', NULL, 'high', '', NULL, '025bbead8233a41a3c9f965d242b4dd77a6e97a6a6b3bac265c00a0ceb787ead'),
(14, 1800000010.0, 'monitor', '2ed615acde694cf8', 'opened', NULL, 'open', NULL, 'high', '', NULL, '0a00438e1173bad5221c8b408a23655b2f8a14577eddc200c89ef52cbb2ead05'),
(15, 1800000010.0, 'ada', '2ed615acde694cf8', 'merged', 'open', 'resolved', 'wont_fix', 'high', 'merged into incident 0e226967179106e0', NULL, 'c5948d2a7e9c6aaa172db5297b9e99c8f6bda61793d996520326979579074ec1'),
(16, 1800000010.0, 'ada', '0e226967179106e0', 'absorbed', 'open', 'open', NULL, 'high', 'incident 2ed615acde694cf8', NULL, '1c8b9cf97c38c848cb34938001111874a11f4d72402eb2f0eb13547806232535'),
(17, 1800000010.0, 'ada', 'fa34b15a4eb8e91e', 'silenced', 'open', 'open', NULL, 'high', 'rotating', NULL, '9c7521027be59ee6fe6a2e9f1f40b9c3986710fa83ab2d748bb05dfa3660544a'),
(18, 1800000010.0, 'monitor', 'ece429c5680073f8', 'opened', NULL, 'open', NULL, 'high', '', NULL, '3e6d6d65246a5c42a1b3de7e26823995e743d0625bf59213d2c1d34d23896822');
INSERT INTO batches VALUES
('a writer', 'its last', 1800000010.0);
INSERT INTO canaries VALUES
('e40896d47832864f118440ec81b86dc7a7c6a712d33a0d2c0045d32cdf2c131e', 'e40896d47832864f118440ec81b86dc7a7c6a712d33a0d2c0045d32cdf2c131e', 'bird', 'github-pat', 'the wiki', 'one', NULL, NULL, 1800000010.0, 'ada');
INSERT INTO drills VALUES
('a8e9a9107284d5863f3b7c764f65e5ca61fe247fafab67af477faf30096901e9', 0, 1800000010.0);
INSERT INTO groups VALUES
(1, 'chat', 'incident:d749929fe94b9a37', 'e2296aac9829:critical', 'incident', 1800000000.0, 1800000000.0, 1800000010.0, 1800000010.0),
(2, 'chat', 'incident:fa34b15a4eb8e91e', 'e2296aac9829:high', 'incident', 1800000000.0, 1800000000.0, 1800000000.0, 1800000010.0),
(3, 'chat', 'incident:0e09991f37ab7e85', 'e2296aac9829:low', 'incident', 1800000000.0, 1800000000.0, 1800000010.0, NULL),
(4, 'chat', 'incident:46da5b49eea2fbee', 'e2296aac9829:high', 'incident', 1800000010.0, 1800000010.0, 1800000010.0, 1800000010.0),
(5, 'chat', 'incident:0e226967179106e0', 'e2296aac9829:high', 'incident', 1800000010.0, 1800000010.0, 1800000010.0, 1800000010.0),
(6, 'chat', 'incident:2ed615acde694cf8', 'e2296aac9829:high', 'incident', 1800000010.0, 1800000010.0, 1800000010.0, NULL),
(7, 'chat', 'incident:ece429c5680073f8', 'e2296aac9829:high', 'incident', 1800000010.0, 1800000010.0, 1800000010.0, 1800014410.0);
INSERT INTO habits VALUES
('prod/db', 'app', '{"first": 1800000010.0, "last": 1800000010.0, "times": 1, "days": {"20833": 1}, "hours": {"8": 1}, "networks": {"10.0.0.0/24": 20833}, "people": [], "refused": 0, "refused_since": 0.0, "probed": [], "probed_since": 0.0}', 1800000010.0),
('prod/db', '', '{"first": 1800000010.0, "last": 1800000010.0, "times": 1, "days": {"20833": 1}, "hours": {"8": 1}, "networks": {}, "people": ["app"], "refused": 0, "refused_since": 0.0, "probed": [], "probed_since": 0.0}', 1800000010.0),
('', 'app', '{"first": 1800000010.0, "last": 1800000010.0, "times": 1, "days": {"20833": 1}, "hours": {"8": 1}, "networks": {"10.0.0.0/24": 20833}, "people": [], "refused": 0, "refused_since": 0.0, "probed": [], "probed_since": 0.0, "breadth": {"hour": 500000, "secrets": 1, "new": 1, "unread": 1, "unusual": 0, "reported": 0, "high": false, "strange": "", "days": {"20833": 1}}}', 1800000010.0),
('', 'source vault', '{"first": 1800000010.0, "last": 1800000010.0, "times": 2, "days": {"20833": 2}, "hours": {"8": 2}, "networks": {}, "people": [], "refused": 0, "refused_since": 0.0, "probed": [], "probed_since": 0.0}', 1800000010.0),
('prod/x', 'ci', '{"first": 1800000010.0, "last": 1800000010.0, "times": 1, "days": {"20833": 1}, "hours": {"8": 1}, "networks": {}, "people": [], "refused": 0, "refused_since": 0.0, "probed": [], "probed_since": 0.0}', 1800000010.0),
('prod/x', '', '{"first": 1800000010.0, "last": 1800000010.0, "times": 1, "days": {"20833": 1}, "hours": {"8": 1}, "networks": {}, "people": ["ci"], "refused": 0, "refused_since": 0.0, "probed": [], "probed_since": 0.0}', 1800000010.0),
('', 'ci', '{"first": 1800000010.0, "last": 1800000010.0, "times": 1, "days": {"20833": 1}, "hours": {"8": 1}, "networks": {}, "people": [], "refused": 0, "refused_since": 0.0, "probed": [], "probed_since": 0.0, "breadth": {"hour": 500000, "secrets": 1, "new": 1, "unread": 1, "unusual": 0, "reported": 0, "high": false, "strange": "", "days": {"20833": 1}}}', 1800000010.0);
INSERT INTO hooks VALUES
('d1', 'github', 'secret_scanning_alert', 'acme/web', 7, 1800000010.0, 0, 1800000010.0, NULL);
INSERT INTO incidents VALUES
('old', 'c67494705c0be6a864b97d094e7aea8f89d86faf99c2fb64a4986e96a498de1f', 'r', 'n', 'high', 'high', 'open', NULL, 'm', 1.0, 2.0, 1, 0, NULL, NULL, NULL, '{}', 1, NULL, NULL, NULL, NULL, NULL),
('d749929fe94b9a37', 'd749929fe94b9a37dbe5d74cb297ad24b46e467898545f4e109eb21835046ac4', 'github-pat', 'GitHub token', 'critical', 'high', 'acknowledged', NULL, 'ghp_…', 1800000000.0, 1800000000.0, 1, 0, NULL, 'ada', NULL, '{}', 1, NULL, 'valid', '{"at": 1800000010.0, "reason": "GitHub says so", "provider": "github", "facts": {"login": "octocat"}}', NULL, NULL),
('fa34b15a4eb8e91e', 'fa34b15a4eb8e91ebeff64edba51d21905e1ac8ce2bff8865da08055bced0dd4', 'github-pat', 'GitHub token', 'high', 'high', 'open', NULL, 'ghp_…', 1800000000.0, 1800000000.0, 1, 0, NULL, NULL, NULL, '{}', 1, NULL, NULL, NULL, NULL, NULL),
('0e09991f37ab7e85', '0e09991f37ab7e8519a535d02dfa65d69319dc9e1296a4251bd197585a11cc78', 'github-pat', 'GitHub token', 'low', 'high', 'resolved', 'revoked', 'ghp_…', 1800000000.0, 1800000000.0, 1, 0, 1800000010.0, NULL, NULL, '{}', 1, NULL, NULL, NULL, NULL, NULL),
('46da5b49eea2fbee', '46da5b49eea2fbee452bc3295c0e7e33dc7de1744b71030d9416fb89780fb258', 'github-pat', 'GitHub token', 'high', 'high', 'open', NULL, 'ghp_…', 1800000000.0, 1800000000.0, 1, 0, NULL, NULL, NULL, '{}', 1, NULL, NULL, NULL, NULL, NULL),
('0e226967179106e0', '0e226967179106e0cd2aeb13dfba00d05427ca72abbd6f7203ba4bbe68243010', 'github-pat', 'GitHub token', 'high', 'high', 'open', NULL, 'ghp_…', 1800000000.0, 1800000000.0, 3, 0, NULL, NULL, NULL, '{}', 3, NULL, NULL, NULL, NULL, NULL),
('2ed615acde694cf8', '2ed615acde694cf8e365156f64735e42f5a648559d35e2c217df8ef8c41b0bcd', 'github-pat', 'GitHub token', 'high', 'high', 'resolved', 'wont_fix', 'ghp_…', 1800000000.0, 1800000000.0, 1, 0, 1800000010.0, NULL, NULL, '{}', 0, NULL, NULL, NULL, NULL, '0e226967179106e0'),
('ece429c5680073f8', 'ece429c5680073f884f274afe85515ce2d5a3f8c0b581076a6ad4228e14d0e4e', 'github-pat', 'GitHub token', 'high', 'high', 'open', NULL, 'ghp_…', 1799999900.0, 1799999900.0, 1, 0, NULL, NULL, NULL, '{"github": "acme/web#1"}', 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO marks VALUES
('c8e5fbdedac1e1b3eaa87bb91e601ff085ddcf0db65b6a2e1a8495d39d1cfa23', 'prod/db', 1800000010.0);
INSERT INTO meta VALUES
('schema', '23'),
('key', '7d19dc1d058ae0f7dc230626262e39e9'),
('commits', '37'),
('verdicts:one', '10');
INSERT INTO outbox VALUES
(1, '36a3badc29184b9c87a889db67a78aa1', 'chat', 'incident:d749929fe94b9a37', 'new', '["d749929fe94b9a37"]', '', '', 'critical', 'sent', 1800000000.0, 1800000000.0, 0, NULL, NULL, '[]', NULL, 1800000000.0),
(2, 'dc76097e598c45c98dd7eaabfb4e94d6', 'chat', 'incident:fa34b15a4eb8e91e', 'new', '["fa34b15a4eb8e91e"]', '', '', 'high', 'sent', 1800000000.0, 1800000000.0, 0, NULL, NULL, '[]', NULL, 1800000000.0),
(3, 'fa4104346f9c44d4a13b982be1b3d504', 'chat', 'incident:0e09991f37ab7e85', 'new', '["0e09991f37ab7e85"]', '', '', 'low', 'sent', 1800000000.0, 1800000000.0, 0, NULL, NULL, '[]', NULL, 1800000000.0),
(4, '327568192a4a40a687db65b2b9846d55', 'chat', 'incident:d749929fe94b9a37', 'acknowledged', '["d749929fe94b9a37"]', '', '', 'critical', 'pending', 1800000010.0, 1800000010.0, 0, NULL, NULL, '[]', NULL, NULL),
(5, 'd115b5e4970b4bb89c87f6cf2ead93bc', 'chat', 'incident:0e09991f37ab7e85', 'resolved', '["0e09991f37ab7e85"]', '', '', 'low', 'pending', 1800000010.0, 1800000010.0, 0, NULL, NULL, '[]', NULL, NULL),
(6, 'e1477dc3ff4d475297c6c7f165b076a1', 'chat', 'incident:46da5b49eea2fbee', 'new', '["46da5b49eea2fbee"]', '', '', 'high', 'leased', 1800000010.0, 1800000010.0, 0, 1800000070.0, 'here:16888:c4f006e5', '[]', NULL, NULL),
(7, '40cc65669a994c239987cadc8f287c48', 'chat', 'incident:0e226967179106e0', 'new', '["0e226967179106e0"]', '', '', 'high', 'pending', 1800000010.0, 1800000010.0, 0, NULL, NULL, '[]', NULL, NULL),
(8, 'f490f1f26d55461aac3d1ed0d0184fb7', 'chat', 'incident:2ed615acde694cf8', 'new', '["2ed615acde694cf8"]', '', '', 'high', 'pending', 1800000010.0, 1800000010.0, 0, NULL, NULL, '[]', NULL, NULL),
(9, 'cf38a5ae76c74cf1b9e21129fcf47593', 'chat', 'incident:ece429c5680073f8', 'new', '["ece429c5680073f8"]', '', '', 'high', 'pending', 1800000010.0, 1800000010.0, 0, NULL, NULL, '[]', NULL, NULL),
(10, 'aa0df9b3738340c8a2ef792793084d6c', 'chat', 'notice', 'operational', '[]', 'Source services missed bytes', '7 bytes of /a.log (truncated).', 'info', 'pending', 1800000010.0, 1800000010.0, 0, NULL, NULL, '[]', NULL, NULL);
INSERT INTO positions VALUES
('{node}', 's', '"a"', '{"offset": 1}'),
('{node}', 's', '"b"', '{"offset": 2}'),
('{node}', 'services', '"/var/log/app.log"', '{"offset": 7}'),
('{node}', '@services', '"lost"', '{"bytes": 1}'),
('{node}', 'vault', '"f"', '{"at": 1}');
INSERT INTO read_ids VALUES
('1', 1800000010.0),
('2', 1800000010.0);
INSERT INTO reads VALUES
('66e3def99a2a1db1ee5efc510b9bd1e6', 'prod/db', 'app', '10.0.0.1', 'read', 500000, 'vault', '["password"]', '', 1800000010.0, 1800000010.0, 1),
('2214910f168ae9e9e5b617ac543a5396', 'prod/x', 'ci', '', 'read', 500000, 'vault', '[]', '', 1800000010.0, 1800000010.0, 1);
INSERT INTO receipts VALUES
('chat', 'incident:d749929fe94b9a37', '{"ts": "1"}', 1800000000.0),
('chat', 'incident:fa34b15a4eb8e91e', '{"ts": "2"}', 1800000000.0),
('chat', 'incident:0e09991f37ab7e85', '{"ts": "3"}', 1800000000.0);
INSERT INTO requests VALUES
('r1', 'chat', 'note', 'ada', 'd749929fe94b9a37', '', '', 'seen in staging', '', '{"user": "U1"}', 1800000010.0, NULL, NULL, '', 1800000010.0, 0, NULL, '', 0.0);
INSERT INTO secret_versions VALUES
(1, 'e', 'A', '9a7622b24ae73586214f453f44ed438ce5c63aa07c720c2ccc29ae5bd7ec5322', '', 'previous', NULL, NULL, NULL, '', 1800000010.0, 1800000010.0, 1800000010.0),
(2, 'e', 'B', 'e4536402828258d1e09340f8b393b488a9699d20904321bda4230e4e3f18d5f8', '', 'current', NULL, NULL, NULL, '', 1800000010.0, 1800000010.0, NULL),
(3, 'e', 'A', '5283216360c3f6a2d03b04b7abb213f8943bbd4a5dbe86754a9d9ea327cc1927', '', 'current', NULL, NULL, NULL, '', 1800000010.0, 1800000010.0, NULL);
INSERT INTO secrets VALUES
('e', 'A', 'production', 'ops', '[]', '[]', '', 0, 1800000010.0, 1800000010.0, NULL, NULL),
('e', 'B', 'production', 'ops', '[]', '[]', '', 0, 1800000010.0, 1800000010.0, NULL, NULL);
INSERT INTO silence_rules VALUES
('abef445b', '["rule=\"nobody\""]', 1800000010.0, 1800007210.0, 'ada', 'tests', NULL, NULL);
INSERT INTO suppressions VALUES
('3d7737daf1ef97928062b69db0e82be75fd3a19b8e08d203c27eeb417d0d2d5f', 'test value', 'ada', 1800000010.0, 1800086400.0, 0, 1, 1800000000.0, 1800000000.0, '{"id": "a357fb2d47056a1dc55721d89acb05cc290813049f4a253eb8ca07c6dc40036b", "rule": "github-pat", "name": "GitHub token", "severity": "high", "confidence": "high", "fingerprint": "3d7737daf1ef97928062b69db0e82be75fd3a19b8e08d203c27eeb417d0d2d5f", "masked": "ghp_\u2026", "source": "services", "path": "/var/log/app.log", "generation": "g1", "offset": 20, "time": 1800000000.0, "line": 21, "column": null, "decode": [], "labels": {}, "runbook": null, "url": null, "service": null, "logged_at": null, "context": null}');
INSERT INTO syncs VALUES
('e', 1800000010.0, 1800000010.0, 2, 0, '');
INSERT INTO totals VALUES
('one', 1, 8, 1800000000.0, 1800000000.0, 0, '1062ee48149cdcc4331383e98f7560826c98c1d520fd8f6b30851d21b1b93a68', '81de17fa90eba88f7c4b2ab1f272e119', 'd72a8b90d4a3b8b6b3ce66902c5ec0757cb5167c54b8018b0870ed9f3eff67a6');
INSERT INTO trails VALUES
('old', 1, '5d6ea23f12b88caa7943982606a494ea2ddc54896cee0314fb2be9543dec6228', 'd6965df7ca210aa9487e97e6293b2f9a8ef76c83ccf8275c5c9e4c9b2bf2c8b0', 2, '738bc0d1ddbca7f7aacdd000171d48f7082937959d52ef0a2df2563c645810ab', ''),
('d749929fe94b9a37', 7, 'abc38eaf7485b218fc9d770875eec860ec57b93890f73f32a2a39d1512a24e1d', 'c039b8c966df29656be44f6e4fa85ab8abc42b0a82b3053592670c15f136bd2e', 6, '93ca70a0cc34c9685cc84dc481f86ccd3acd3884f9e98840886741ded9053536', 'be47214d2585431ec89f606c1d8531718293cb2d8165f658ceb5aff47d4d63da'),
('fa34b15a4eb8e91e', 2, '9c7521027be59ee6fe6a2e9f1f40b9c3986710fa83ab2d748bb05dfa3660544a', 'af34f00aed64ef92405a0dc7a90f0f9e197d29921c77575f43bf9bb6f6324268', 2, '0d00dbe4216e00224381e1979ac32b675e3acadd0f62a986402d1ce8be5660a7', ''),
('0e09991f37ab7e85', 2, '0e2364070791681ca13e4b48c5c1bb915203155b23ed4731a43cffe1bcd9a580', '563725b6a8c60f93943fd0b8f3207da10afcae09532a23a1d39d3b3a51b4734c', 2, '6166f714685a4b1edbd2a95ecf5aaa1fe61350a47d2ecdc6511163aa8e8f7a66', ''),
('46da5b49eea2fbee', 1, 'e256e83aaab80d38f90ffdf32b54b59d64c3cc055e310755f017e02a24666e93', '8619f9d42401c28c2d63994a3d9fe9b683747541e47e9f8c1e208c084646570b', 1, '7c1856b133ab9daaeaa1eb400b8ce6f1f3acf2bef096860bed9f81c0b1b6a8eb', ''),
('0e226967179106e0', 2, '1c8b9cf97c38c848cb34938001111874a11f4d72402eb2f0eb13547806232535', 'cd626ecc88fcb136f795bc1a8e7d3510ea1ce220dc7fad3890f22598dc4857db', 4, '23f12f306945bbcf82bf0e87d80ddce9cb6043740c991772319537bbed2a9627', 'be2885f1c07162515c190e20a19bfdeb35551182c247cd42a4b093889ab58c4c'),
('2ed615acde694cf8', 2, 'c5948d2a7e9c6aaa172db5297b9e99c8f6bda61793d996520326979579074ec1', '94030b410c44fab0164d5fe52959de4313170dcbfe772d62464912175a53ccb3', 2, 'bc93b1959ec4bab35f9b07f43d68445cdf3a5bdffdd1ea15c767879af9771b21', ''),
('ece429c5680073f8', 1, '3e6d6d65246a5c42a1b3de7e26823995e743d0625bf59213d2c1d34d23896822', '2019b4e533a6b58927a7495cfd56359ed5aa9a47010c85f3a6681aad75a3cf37', 1, '1593fe798c5226dac0dde75ac9724c6c7e8dcdfc4fde7df29e2955af6ea2642d', '');
INSERT INTO wrappings VALUES
('a82e44bac18a32c8472bee38405d77adb187e90f898d337d3a42a91c84fbeee9', 'prod/x', 'ci', 1800000010.0);
INSERT INTO actions VALUES
('01d8d82701db', 'd749929fe94b9a37', 'revoke', 'planned', 0, 0, 2, '["bob"]', '{"key": "public-id"}', 'ada', 1800000010.0, NULL, NULL, 0, 'one', NULL, '');
INSERT INTO alerts VALUES
('github.com/acme/web#1', 'github', 'ece429c5680073f8', 'ece429c5680073f884f274afe85515ce2d5a3f8c0b581076a6ad4228e14d0e4e', 0, 'https://github.test/acme/web/1', 'high', 'high', 'open', NULL, 1799999900.0, 1799999900.0, 0.0, 0, 0);
INSERT INTO asks VALUES
('46da5b49eea2fbee', 'one', 1800000010.0, 0);
INSERT INTO findings VALUES
(1, 'f', 'old', 'r', 's', '/old', 'g', 0, NULL, 2.0, NULL, NULL, 'one', NULL, NULL, NULL, NULL),
(2, '89435c9c6a4fdedf2567928d7a4c8ab93bf462c757f763fda908679f9eddf8f9', 'd749929fe94b9a37', 'github-pat', 'services', '/var/log/app.log', 'g1', 1, 2, 1800000000.0, NULL, NULL, 'one', 'shop', NULL, NULL, NULL),
(3, '652adbbafdc495085e1b06a8e8d8ff5e90010232438d4aede098edfd9b886cf5', 'fa34b15a4eb8e91e', 'github-pat', 'services', '/var/log/app.log', 'g1', 2, 3, 1800000000.0, NULL, NULL, 'one', NULL, NULL, NULL, NULL),
(4, '11b47cd9cb083207e8678547add5d76acdff5c9fd08e2c1e658ac9176a0c1874', '0e09991f37ab7e85', 'github-pat', 'services', '/var/log/app.log', 'g1', 3, 4, 1800000000.0, NULL, NULL, 'one', NULL, NULL, NULL, NULL),
(5, '4c350eb873e0f7b9b773efd720084d1efbc202070b9da4b18599b3c2c4c3e09f', '46da5b49eea2fbee', 'github-pat', 'services', '/var/log/app.log', 'g1', 30, 31, 1800000000.0, NULL, NULL, 'one', NULL, NULL, NULL, NULL),
(6, 'ffb2e89426c66c945dd405d86f9a97be50972ae8720c73504e9a05a1b4ebcb16', '0e226967179106e0', 'github-pat', 'services', '/var/log/app.log', 'g1', 10, 11, 1800000000.0, NULL, NULL, 'one', NULL, NULL, NULL, NULL),
(7, '26a1b85c4ea804c405f65aab3b8d6a5ae7055cf44c10cb15ee4077f800d78337', '0e226967179106e0', 'github-pat', 'services', '/var/log/app.log', 'g1', 11, 12, 1800000000.0, NULL, NULL, 'one', NULL, NULL, NULL, '2ed615acde694cf8e365156f64735e42f5a648559d35e2c217df8ef8c41b0bcd'),
(8, '02008e6f04da9914bd85e5cd0236adc32d040458bbba5001dd5de954cd55409a', '0e226967179106e0', 'github-pat', 'services', '/var/log/app.log', 'g1', 12, 13, 1800000000.0, NULL, NULL, 'one', NULL, NULL, NULL, '2ed615acde694cf8e365156f64735e42f5a648559d35e2c217df8ef8c41b0bcd'),
(9, 'github.com/acme/web#1 acme/web:.env', 'ece429c5680073f8', 'github-pat', 'github', 'acme/web:.env', 'github.com/acme/web#1', 0, 1, 1799999900.0, NULL, NULL, 'one', NULL, NULL, NULL, NULL);
INSERT INTO members VALUES
(1, 'd749929fe94b9a37', 'services', '/var/log/app.log', 'one', 'shop', NULL, 'acknowledged', 'critical', 1, 0, NULL),
(2, 'fa34b15a4eb8e91e', 'services', '/var/log/app.log', 'one', '', NULL, 'open', 'high', 1, 0, NULL),
(3, '0e09991f37ab7e85', 'services', '/var/log/app.log', 'one', '', NULL, 'resolved', 'low', 1, 0, NULL),
(4, '46da5b49eea2fbee', 'services', '/var/log/app.log', 'one', '', NULL, 'open', 'high', 1, 0, NULL),
(5, '0e226967179106e0', 'services', '/var/log/app.log', 'one', '', NULL, 'open', 'high', 1, 0, NULL),
(6, '2ed615acde694cf8', 'services', '/var/log/app.log', 'one', '', NULL, 'resolved', 'high', 1, 0, NULL),
(7, 'ece429c5680073f8', 'github', 'acme/web:.env', 'one', '', NULL, 'open', 'high', 1, 0, NULL);
INSERT INTO merges VALUES
('2ed615acde694cf8', '0e226967179106e0', 7, '{"id": "0e226967179106e0", "fingerprint": "0e226967179106e0cd2aeb13dfba00d05427ca72abbd6f7203ba4bbe68243010", "rule": "github-pat", "name": "GitHub token", "severity": "high", "confidence": "high", "state": "open", "resolution": null, "masked": "ghp_\u2026", "first_seen": 1800000000.0, "last_seen": 1800000000.0, "occurrences": 1, "reopens": 0, "resolved_at": null, "owner": null, "runbook": null, "labels": "{}", "kept": 1, "first_logged": null, "validity": null, "verified": null, "base_severity": null, "merged": null}');
INSERT INTO runs VALUES
('d749929fe94b9a37', 'generic-secret', 'Secret of unknown origin', 'contain', 'severity critical', 1800000000.0, NULL, 1800000010.0);
INSERT INTO secret_prints VALUES
(1, '9a7622b24ae73586214f453f44ed438ce5c63aa07c720c2ccc29ae5bd7ec5322', '', 40, 'hex'),
(2, 'e4536402828258d1e09340f8b393b488a9699d20904321bda4230e4e3f18d5f8', '', 40, 'hex'),
(3, '5283216360c3f6a2d03b04b7abb213f8943bbd4a5dbe86754a9d9ea327cc1927', '', 40, 'hex');
INSERT INTO silences VALUES
('fa34b15a4eb8e91e', 1800003610.0);
INSERT INTO steps VALUES
('d749929fe94b9a37', 'revoke', 0, 'Revoke the exposed secret', 'immediate', 'responder', 900.0, 1800000900.0, 1800000010.0, '[]', 'revoked', 'refused', 0.0, 'claimed', 'ada', '', 0),
('d749929fe94b9a37', 'replace', 1, 'Generate the replacement', 'immediate', 'responder', 900.0, 1800000900.0, 1800000000.0, '[]', NULL, 'valid', 0.0, 'open', NULL, '', 0),
('d749929fe94b9a37', 'deploy', 2, 'Deploy the replacement', 'immediate', 'responder', 1800.0, 1800001800.0, 1800000000.0, '["replace"]', 'unused', 'unseen', 3600.0, 'open', NULL, '', 0),
('d749929fe94b9a37', 'audit', 3, 'Audit the access logs', 'hour', 'responder', 3600.0, 1800003600.0, 1800000000.0, '[]', NULL, NULL, 0.0, 'open', NULL, '', 0),
('d749929fe94b9a37', 'actions', 4, 'Check for unauthorised actions', 'hour', 'responder', 3600.0, 1800003600.0, 1800000000.0, '["audit"]', NULL, NULL, 0.0, 'open', NULL, '', 0),
('d749929fe94b9a37', 'notify', 5, 'Notify those affected', 'hour', 'responder', 3600.0, 1800003600.0, 1800000000.0, '[]', NULL, NULL, 0.0, 'open', NULL, '', 0),
('d749929fe94b9a37', 'document', 6, 'Document the incident', 'day', 'responder', 86400.0, 1800086400.0, 1800000000.0, '["revoke", "deploy", "audit"]', NULL, NULL, 0.0, 'open', NULL, '', 0),
('d749929fe94b9a37', 'review', 7, 'Review how it happened', 'day', 'responder', 86400.0, 1800086400.0, 1800000000.0, '[]', NULL, NULL, 0.0, 'open', NULL, '', 0),
('d749929fe94b9a37', 'prevent', 8, 'Implement prevention', 'day', 'responder', 86400.0, 1800086400.0, 1800000000.0, '["review"]', NULL, NULL, 0.0, 'open', NULL, '', 0);
