"""The tables. Times are seconds since the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, get_args

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Double,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
)
from sqlalchemy.engine.mock import MockConnection

from monitor.access.reading import Outcome
from monitor.accounts.people import Role
from monitor.common.notification import State
from monitor.common.severity import SEVERITIES
from monitor.domain.incidents import RESOLUTIONS
from monitor.domain.model import Confidence
from monitor.routing.routes import GroupKind
from monitor.runbook.book import Order
from monitor.runbook.progress import TaskState

__all__ = [
    "ACCOUNTS",
    "ACTION_STATES",
    "ASIDE",
    "CHAINS",
    "MONITOR",
    "actions",
    "alerts",
    "asks",
    "audit",
    "batches",
    "canaries",
    "create",
    "drill_runs",
    "drills",
    "findings",
    "groups",
    "habits",
    "hooks",
    "incidents",
    "marks",
    "members",
    "merges",
    "meta",
    "metadata",
    "open_steps",
    "outbox",
    "partial",
    "positions",
    "read_ids",
    "reads",
    "receipts",
    "requests",
    "runs",
    "secret_prints",
    "secret_versions",
    "secrets",
    "sessions",
    "silence_rules",
    "silences",
    "steps",
    "steps_open",
    "suppressions",
    "syncs",
    "tokens",
    "totals",
    "trails",
    "unresolved",
    "unsent",
    "users",
    "wrappings",
]

# In place of an incident: the chains of what was changed about users, and about the monitor itself.
ACCOUNTS, MONITOR = "accounts", "monitor"
CHAINS = (ACCOUNTS, MONITOR)
ACTION_STATES = ("planned", "approved", "running", "accepted", "completed", "failed", "unknown")

metadata = MetaData()

# SQLite numbers rows by itself only in a column of type INTEGER.
_Serial = BigInteger().with_variant(Integer, "sqlite")


def _among(column: str, values: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", name=f"{column}_known")


meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="schema version; key: tells another fingerprint key; identity: of this database and its copies; commits, "
    "commits:NODE: transactions so far",
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False, unique=True, comment="keyed HMAC of the secret, never its value"),
    Column("rule", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("confidence", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("resolution", Text),
    Column("masked", Text, nullable=False),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("occurrences", BigInteger, nullable=False, comment="all findings ever, also those pruned since"),
    Column("reopens", Integer, nullable=False),
    Column("resolved_at", Double),
    Column("owner", Text),
    Column("runbook", Text),
    Column("labels", Text, nullable=False, comment="JSON object of public facts"),
    Column("kept", Integer, nullable=False, comment="rows in findings"),
    Column("first_logged", Double, comment="earliest time that a log itself gives; null: none does"),
    Column("validity", Text, comment="what its issuer says; null: never asked"),
    Column("verified", Text, comment="JSON object: when it was asked, its answer and facts; masked"),
    Column("base_severity", Text, comment="of rules and alerts, where the issuer's answer has set another"),
    Column("merged", Text, comment="the incident that its sightings count for since people made both one"),
    _among("severity", SEVERITIES),
    _among("confidence", get_args(Confidence)),
    _among("state", get_args(State)),
    _among("resolution", RESOLUTIONS),
    CheckConstraint("(state = 'resolved') = (resolution IS NOT NULL)", name="resolution_with_resolved"),
    CheckConstraint("(state = 'resolved') = (resolved_at IS NOT NULL)", name="resolved_at_with_resolved"),
    CheckConstraint("occurrences > 0", name="occurrences_positive"),
    CheckConstraint("first_seen <= last_seen", name="seen_in_order"),
    Index("incidents_last_seen", "last_seen"),
    comment="one exposed secret",
)

findings = Table(
    "findings",
    metadata,
    Column("seq", _Serial, primary_key=True),
    Column("id", Text, nullable=False, unique=True, comment="deterministic: a replay brings the same id"),
    # Deferred, so that the ids that are new are known before the incidents are written.
    Column(
        "incident",
        Text,
        ForeignKey("incidents.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
    Column("rule", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("generation", Text, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("line", BigInteger),
    Column("time", Double, nullable=False),
    Column("decode", Text, comment="JSON list of decoders, outermost first"),
    Column("url", Text),
    Column("node", Text, nullable=False, server_default="", comment="host that saw it"),
    Column("service", Text),
    Column("logged_at", Double, comment="the time the log itself gives"),
    Column("context", Text, comment="the line around it, with every match masked"),
    Column(
        "fingerprint", Text, comment="whose value it is, where that is another's that was merged; null: its incident's"
    ),
    Index("findings_incident", "incident", "seq"),
    Index("findings_source", "source", "incident"),
    comment="where a secret was seen: the newest of each incident and the newest of each place, bounded",
)

merges = Table(
    "merges",
    metadata,
    Column("went", Text, ForeignKey("incidents.id", ondelete="CASCADE"), primary_key=True),
    Column("into", Text, ForeignKey("incidents.id", ondelete="CASCADE"), nullable=False),
    Column("seq", BigInteger, nullable=False, comment="the newest of the findings then"),
    Column("before", Text, nullable=False, comment="JSON object: the row of the one that stayed, as it was"),
    Index("merges_into", "into"),
    comment="merges that still hold, and what taking one back needs",
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True, comment="host/owner/repository#number"),
    Column("source", Text, nullable=False),
    Column("incident", Text, ForeignKey("incidents.id", ondelete="CASCADE"), nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("provisional", Integer, nullable=False, comment="1: the value is not known, the id stands for it"),
    Column("url", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("base", Text, nullable=False, comment="severity of the secret itself, whatever is known of this one"),
    Column("state", Text, nullable=False, comment="where it came from"),
    Column("resolution", Text),
    Column("created", Double, nullable=False, comment="by the other system's clock, as is updated"),
    Column("updated", Double, nullable=False),
    Column("read", Double, nullable=False, comment="when, by the same clock"),
    Column("quiet", Integer, nullable=False, comment="1: opened without a notification of its own"),
    Column("summarised", Integer, nullable=False, comment="1: a summary has told of it"),
    _among("severity", SEVERITIES),
    _among("base", SEVERITIES),
    _among("state", ("open", "resolved")),
    _among("resolution", RESOLUTIONS),
    CheckConstraint("(state = 'resolved') = (resolution IS NOT NULL)", name="resolution_with_resolved"),
    Index("alerts_incident", "incident"),
    Index("alerts_source", "source", "state"),
    comment="alerts of another system about a secret, as they stand there",
)

hooks = Table(
    "hooks",
    metadata,
    Column("id", Text, primary_key=True, comment="the sender's delivery id: a repeat is ignored"),
    Column("source", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("repo", Text, nullable=False),
    Column("number", BigInteger, nullable=False, comment="of the alert; 0: about no single one"),
    Column("due", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("done_at", Double),
    Index("hooks_due", "source", "done_at", "due"),
    comment="inbound hooks, verified, and other work a source has put off; holds nothing of their payload",
)

positions = Table(
    "positions",
    metadata,
    Column("node", Text, primary_key=True, server_default="", comment="host it is of; empty: SQLite's one host"),
    Column("source", Text, primary_key=True),
    Column("key", Text, primary_key=True, comment="JSON string: may hold what is not valid Unicode"),
    Column("state", Text, nullable=False, comment="JSON object, the source's own"),
    comment="how far each source of each host has come",
)

groups = Table(
    "groups",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("sink", Text, nullable=False),
    Column("key", Text, nullable=False, comment="the sink's deduplication key"),
    Column("route", Text, nullable=False, comment="Route.budget: what it counted against; of a fold: how many alone"),
    Column("kind", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("hold_until", Double, nullable=False, comment="not before this the first time"),
    Column("sent_at", Double, comment="when the last notification was put into the outbox"),
    Column("due_at", Double, comment="when to decide again; null: when something happens"),
    _among("kind", get_args(GroupKind)),
    UniqueConstraint("sink", "key"),
    Index("groups_due", "due_at"),
    Index("groups_burst", "sink", "route", "created_at"),
    comment="what a sink is told together",
)

members = Table(
    "members",
    metadata,
    Column("group", _Serial, ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    Column("incident", Text, ForeignKey("incidents.id", ondelete="CASCADE"), primary_key=True),
    Column("source", Text, nullable=False, comment="of the finding that led here: routes may match on it"),
    Column("path", Text, nullable=False),
    Column("host", Text, nullable=False, server_default=""),
    Column("service", Text, nullable=False, server_default=""),
    Column("held", Text, comment="the worse incident for which this one is held back; null: none"),
    Column("told_state", Text, comment="as the sink was last told; null: never"),
    Column("told_severity", Text),
    Column("told_occurrences", BigInteger),
    Column("told_reopens", Integer),
    Column("told_validity", Text),
    CheckConstraint("(told_state IS NULL) = (told_occurrences IS NULL)", name="told_whole"),
    Index("members_incident", "incident"),
    Index("members_held", "held"),
    comment="incidents in a group",
)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", _Serial, primary_key=True),
    Column("id", Text, nullable=False, unique=True, comment="Notification.id, stable over retries"),
    Column("sink", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("incidents", Text, nullable=False, comment="JSON list of incident ids; rendered when sent"),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("next_at", Double, nullable=False, comment="not to be sent before"),
    Column("attempts", Integer, nullable=False),
    Column("leased_until", Double),
    Column("owner", Text, comment="who holds the lease: node, process id, and what no other process has"),
    Column("tried", Text, nullable=False, comment="JSON list of sinks that refused it for good"),
    Column("error", Text),
    Column("finished_at", Double),
    _among("state", ("pending", "leased", "sent", "dead")),
    _among("severity", SEVERITIES),
    CheckConstraint("(state = 'leased') = (leased_until IS NOT NULL)", name="lease_with_leased"),
    CheckConstraint("(state IN ('sent', 'dead')) = (finished_at IS NOT NULL)", name="finished_when_done"),
    comment="notifications: pending -> leased -> sent | dead",
)


def unsent(table: FromClause = outbox) -> ColumnElement[bool]:
    """Rows of the outbox, or of an alias of it, that wait.

    The states are written into the statement: with parameters SQLite would not use the partial indexes.
    """
    return table.c.state.in_([literal_column("'pending'"), literal_column("'leased'")])


def unresolved() -> ColumnElement[bool]:
    """Incidents that are. In the words of the partial index, likewise."""
    return incidents.c.state != literal_column("'resolved'")


_UNSENT = outbox.c.state.in_(("pending", "leased"))
# Partial: `partial` says so in the dialect at hand. Named here, it would import both, which takes a while.
_PARTIAL = {
    Index("outbox_unsent", outbox.c.sink, outbox.c.key, outbox.c.seq): _UNSENT,
    Index("outbox_next", outbox.c.sink, outbox.c.severity, outbox.c.next_at, outbox.c.seq): _UNSENT,
    Index("incidents_standing", incidents.c.severity, incidents.c.last_seen): incidents.c.state != "resolved",
}
Index("outbox_done", outbox.c.state, outbox.c.finished_at)

receipts = Table(
    "receipts",
    metadata,
    Column("sink", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("receipt", Text, nullable=False, comment="JSON object: what the sink answered and needs for an update"),
    Column("at", Double, nullable=False),
    comment="one for each sink and group",
)

audit = Table(
    "audit",
    metadata,
    Column("seq", _Serial, primary_key=True),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("incident", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("was", Text, comment="state before; null: there was no incident"),
    Column("state", Text, nullable=False),
    Column("resolution", Text),
    Column("severity", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("step", Text, comment="of the incident's run; null: about the incident itself"),
    Column("mac", Text, comment="keyed hash over this row and the one before it"),
    Index("audit_incident", "incident", "seq"),
    comment="the trail: every change of state of an incident and of the steps of its run; who, when, what",
)

trails = Table(
    "trails",
    metadata,
    Column("incident", Text, primary_key=True),
    Column("entries", BigInteger, nullable=False, comment="rows in audit"),
    Column("mac", Text, nullable=False, comment="of the last of them"),
    Column("seal", Text, nullable=False, comment="keyed hash over this row"),
    Column("turn", BigInteger, nullable=False, server_default="0", comment="how often it was sealed"),
    Column("state", Text, nullable=False, server_default="", comment="keyed hash of the row in incidents, but kept"),
    Column("actions", Text, nullable=False, server_default="", comment="of its actions; empty: it has none"),
    comment="where each trail ends and how its incident stands, so that a shortened or changed one is seen",
)

totals = Table(
    "totals",
    metadata,
    Column("node", Text, primary_key=True),
    Column("turn", BigInteger, nullable=False, comment="how often it was sealed"),
    Column("incidents", BigInteger, nullable=False, comment="rows in trails it added, less those it removed"),
    Column("at", Double, nullable=False, comment="when it was last sealed"),
    Column("since", Double, nullable=False, comment="when it was first"),
    Column("taken", BigInteger, nullable=False, comment="incidents that were accepted as they were then"),
    Column("sum", Text, nullable=False, comment="of seals in trails, under a mask"),
    Column("nonce", Text, nullable=False, comment="of the mask"),
    Column("seal", Text, nullable=False, comment="keyed hash over this row"),
    comment="what each host has sealed, so that an incident that is gone with its trail is seen",
)

runs = Table(
    "runs",
    metadata,
    Column("incident", Text, ForeignKey("incidents.id", ondelete="CASCADE"), primary_key=True),
    Column("book", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("way", Text, nullable=False, comment="in which order"),
    Column("why", Text, nullable=False, comment="this order"),
    Column("started", Double, nullable=False),
    Column("ended", Double),
    Column("due", Double, comment="when time alone will make a difference; null: it will not"),
    _among("way", get_args(Order)),
    Index("runs_due", "due"),
    comment="a runbook under way for an incident",
)

steps = Table(
    "steps",
    metadata,
    Column("incident", Text, ForeignKey("runs.incident", ondelete="CASCADE"), primary_key=True),
    Column("step", Text, primary_key=True),
    Column("place", Integer, nullable=False, comment="its place in the run"),
    Column("title", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("within", Double, nullable=False, comment="seconds"),
    Column("deadline", Double, nullable=False),
    Column("since", Double, nullable=False, comment="when it came into its state"),
    Column("needs", Text, nullable=False, comment="JSON list of steps"),
    Column("claims", Text),
    Column("shows", Text, comment="what the world must show for it to be done"),
    Column("quiet", Double, nullable=False, server_default="0", comment="seconds without a sighting that show it"),
    Column("state", Text, nullable=False),
    Column("owner", Text),
    Column("note", Text, nullable=False, comment="evidence, masked"),
    Column("rung", Integer, nullable=False, comment="how many rungs of the ladder were told that it is overdue"),
    _among("state", get_args(TaskState)),
    comment="the steps of a run as they were when it began",
)


def open_steps() -> ColumnElement[bool]:
    """Steps that are to be done. In the words of the partial index."""
    return steps.c.state.in_([literal_column("'open'"), literal_column("'claimed'")])


steps_open = Index("steps_open", steps.c.incident, steps.c.deadline, steps.c.place)
_PARTIAL[steps_open] = steps.c.state.in_(("open", "claimed"))

silences = Table(
    "silences",
    metadata,
    Column("incident", Text, ForeignKey("incidents.id", ondelete="CASCADE"), primary_key=True),
    Column("until", Double, nullable=False),
    comment="single incidents that people have silenced",
)

silence_rules = Table(
    "silence_rules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("matchers", Text, nullable=False, comment="JSON array of matchers as they are written"),
    Column("starts", Double, nullable=False),
    Column("ends", Double, nullable=False),
    Column("by", Text, nullable=False, comment="who silenced them"),
    Column("reason", Text, nullable=False),
    Column("ended_by", Text, comment="who ended it before its time; null: nobody"),
    Column("ended_why", Text),
    Column("severity", Text, comment="they are not silent, and open no worse than this; null: they are silent"),
    _among("severity", SEVERITIES),
    comment="incidents that people have silenced or lowered by what they are, beside those of the configuration",
)

canaries = Table(
    "canaries",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("first", Text, nullable=False, comment="the fingerprint of its alarm, where rules see it in several ways"),
    Column("name", Text, nullable=False),
    Column("rule", Text, nullable=False, comment="finds it"),
    Column("place", Text, nullable=False, comment="where it lies, for people"),
    Column("node", Text, nullable=False),
    Column("path", Text, comment="the file where it may be seen; null: nowhere"),
    Column("offset", BigInteger, comment="there; null: not seen yet"),
    Column("at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Index("canaries_name", "name"),
    comment="synthetic secrets that nobody has a reason to use, written before they were planted",
)

drills = Table(
    "drills",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("pages", Integer, nullable=False, comment="1: pagers are told, too"),
    Column("at", Double, nullable=False),
    comment="synthetic secrets that were planted on purpose, written before they were",
)

drill_runs = Table(
    "drill_runs",
    metadata,
    Column("id", Text, primary_key=True, comment="what a repeat of the same form is known by"),
    Column("at", Double, nullable=False, comment="as of its secrets in drills"),
    Column("by", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("alive", Double, nullable=False, comment="when who follows it said so last"),
    Column("hops", Text, nullable=False, comment="JSON array of those that came: name, seconds after it, detail"),
    Column("ended", Double, comment="null: it is under way, or nobody could say that it is not"),
    Column("broken", Text, nullable=False, comment="which hop did not come, and why; empty: none of these"),
    comment="drills that somebody followed, and how far each came",
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("until", Double, nullable=False),
    Column("closed", Integer, nullable=False, comment="1: its incident was resolved with it"),
    Column("seen", BigInteger, nullable=False, comment="sightings since it began"),
    Column("first_seen", Double),
    Column("last_seen", Double),
    Column("latest", Text, comment="JSON object: the newest finding; cannot hold the secret"),
    comment="secrets that are known and accepted for a while",
)

batches = Table(
    "batches",
    metadata,
    Column("writer", Text, primary_key=True),
    Column("token", Text, nullable=False),
    Column("at", Double, nullable=False),
    comment="the last transaction of each writer: tells whether a commit whose answer was lost has landed",
)


asks = Table(
    "asks",
    metadata,
    Column("incident", Text, ForeignKey("incidents.id", ondelete="CASCADE"), primary_key=True),
    Column("node", Text, primary_key=True, comment="host that saw the secret, and can take it again"),
    Column("due", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Index("asks_due", "node", "due"),
    comment="incidents whose issuer is to be asked; holds nothing of the secret",
)

actions = Table(
    "actions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("incident", Text, ForeignKey("incidents.id", ondelete="CASCADE"), nullable=False),
    Column("action", Text, nullable=False, comment="its name in the configuration"),
    Column("state", Text, nullable=False),
    Column("automatic", Integer, nullable=False, comment="1: planned by the monitor itself"),
    Column("asked", Integer, nullable=False, server_default="0", comment="1: the monitor runs it once it is approved"),
    Column("needed", Integer, nullable=False, comment="how many people have to approve"),
    Column("approvals", Text, nullable=False, comment="JSON list of names"),
    Column("parts", Text, nullable=False, comment="JSON object of names and public ids; never a secret"),
    Column("planned_by", Text, nullable=False),
    Column("planned_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("step", Integer, nullable=False, comment="of its requests the last that may have been sent"),
    Column("node", Text, nullable=False, comment="host that planned it"),
    Column("owner", Text, comment="process that runs it: node, process id, and what no other has"),
    Column("outcome", Text, nullable=False),
    _among("state", ACTION_STATES),
    CheckConstraint("(state = 'running') = (owner IS NOT NULL)", name="owner_with_running"),
    Index("actions_incident", "incident"),
    Index("actions_state", "state"),
    comment="done about an incident: planned -> approved -> running -> accepted -> completed | failed | unknown",
)

requests = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True, comment="what a repeat is known by"),
    Column("sink", Text, nullable=False, comment="through whose system it came"),
    Column("verb", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("incident", Text, nullable=False, comment="empty: all that the sink was told of under the key"),
    Column("key", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("refusal", Text, nullable=False, comment="not empty: it is not to be done, and this is why"),
    Column("answer", Text, nullable=False, comment="JSON object: ids by which the sink tells what came of it"),
    Column("received_at", Double, nullable=False),
    Column("done_at", Double, comment="when it was done, or refused"),
    Column("refused", Integer),
    Column("outcome", Text, nullable=False),
    Column("due", Double, nullable=False, comment="to be told, not before"),
    Column("attempts", Integer, nullable=False, comment="to tell it"),
    Column("told_at", Double, comment="when they were told what came of it; also: nobody is"),
    Column("place", Text, nullable=False, server_default="", comment="what the other system itself calls it"),
    Column("at", Double, nullable=False, server_default="0", comment="when it was said there; 0: it does not say"),
    Index("requests_done", "done_at"),
    comment="what people asked for in other systems, verified; ids and names",
)

reads = Table(
    "reads",
    metadata,
    Column("id", Text, primary_key=True, comment="hash of what makes it one row: all that follows up to the hour"),
    Column("secret", Text, nullable=False, comment="its name"),
    Column("principal", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("hour", BigInteger, nullable=False, comment="since 1970"),
    Column("source", Text, nullable=False),
    Column("names", Text, nullable=False, comment="JSON list: what was given together, the first time"),
    Column("agent", Text, nullable=False),
    Column("first", Double, nullable=False, comment="by the clock of who wrote the record, as is last"),
    Column("last", Double, nullable=False),
    Column("times", BigInteger, nullable=False),
    _among("outcome", get_args(Outcome)),
    Index("reads_secret", "secret", "last"),
    Index("reads_last", "last"),
    comment="who read which secret from where, by the hour, from audit records; bounded",
)

read_ids = Table(
    "read_ids",
    metadata,
    Column("id", Text, primary_key=True, comment="hash of the id of an audit record"),
    Column("at", Double, nullable=False, comment="when it was read"),
    Index("read_ids_at", "at"),
    comment="audit records that were read, so that a repeat is not counted; bounded",
)

habits = Table(
    "habits",
    metadata,
    Column("secret", Text, primary_key=True, comment="empty: whatever secret"),
    Column("principal", Text, primary_key=True, comment="empty: whoever"),
    Column("state", Text, nullable=False, comment="JSON object: see monitor.access.baseline"),
    Column("last", Double, nullable=False),
    Index("habits_last", "last"),
    comment="what is usual; bounded",
)

marks = Table(
    "marks",
    metadata,
    Column("mark", Text, primary_key=True, comment="keyed HMAC of what stands for a value in audit records"),
    Column("secret", Text, primary_key=True, comment="its name there"),
    Column("last", Double, nullable=False),
    Index("marks_last", "last"),
    comment="by which an incident is told which name its secret has in audit records; bounded",
)

wrappings = Table(
    "wrappings",
    metadata,
    Column("token", Text, primary_key=True, comment="keyed HMAC of a wrapping token, as audit records show it"),
    Column("secret", Text, nullable=False, comment="what is got by it; empty: no secret of ours"),
    Column("principal", Text, nullable=False, comment="who had it wrapped"),
    Column("at", Double, nullable=False, comment="when it was read"),
    Index("wrappings_at", "at"),
    comment="by which the reading of a wrapped answer is told the secret; bounded",
)

secrets = Table(
    "secrets",
    metadata,
    Column("entry", Text, primary_key=True, comment="of [[inventory]]"),
    Column("name", Text, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("consumers", Text, nullable=False, comment="JSON list"),
    Column("tags", Text, nullable=False, comment="JSON list"),
    Column("refused", Text, nullable=False, comment="why its value is not enrolled; empty: it is, or was never given"),
    Column("unread", Integer, nullable=False, comment="1: its manager does not give the value"),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("gone_at", Double, comment="when its manager had it no more"),
    Column("missed_at", Double, comment="since when it is missing along with many, which may be its manager's fault"),
    comment="our own secrets by name, as their managers have them",
)

secret_versions = Table(
    "secret_versions",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("entry", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("mark", Text, nullable=False, comment="keyed hash of the value, or what else tells versions apart"),
    Column("version", Text, nullable=False, comment="the manager's word"),
    Column("standing", Text, nullable=False),
    Column("created", Double),
    Column("rotated", Double),
    Column("expires", Double),
    Column("digest", Text, nullable=False, comment="keyed hash of what the manager publishes of the value"),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("replaced_at", Double, comment="when it was no longer the current one"),
    _among("standing", ("current", "previous", "retired")),
    UniqueConstraint("entry", "name", "mark"),
    comment="the values that a secret has and had; none of them, and no part of one",
)

secret_prints = Table(
    "secret_prints",
    metadata,
    Column("version", _Serial, ForeignKey("secret_versions.id", ondelete="CASCADE"), primary_key=True),
    Column("fingerprint", Text, primary_key=True),
    Column("part", Text, nullable=False, comment="such as the password of an address; empty: the whole value"),
    Column("length", Integer, nullable=False),
    Column("alphabet", Text, nullable=False),
    Index("secret_prints_fingerprint", "fingerprint"),
    comment="keyed fingerprints of values, by which incidents get the name of a secret",
)

syncs = Table(
    "syncs",
    metadata,
    Column("entry", Text, primary_key=True),
    Column("at", Double, nullable=False, comment="when its manager was last asked"),
    Column("whole_at", Double, comment="when it last gave all that it has"),
    Column("held", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("error", Text, nullable=False, comment="empty: none"),
    comment="how far each entry of [[inventory]] is known",
)

users = Table(
    "users",
    metadata,
    Column("name", Text, primary_key=True),
    Column("password", Text, nullable=False, comment="argon2id, with its salt and figures"),
    Column("role", Text, nullable=False),
    Column("disabled", Integer, nullable=False, comment="1: may not sign in"),
    Column("added", Double, nullable=False),
    Column("changed", Double, nullable=False, comment="the password, for the last time"),
    Column("seen", Double, comment="when they last signed in"),
    _among("role", get_args(Role)),
    comment="who signs in to the pages with a password",
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True, comment="SHA-256 of what the browser holds"),
    Column("user", Text, nullable=False, comment="the name they signed in by"),
    Column("way", Text, nullable=False),
    Column("role", Text, comment="as the issuer's groups gave it; null: that of the user"),
    Column("began", Double, nullable=False),
    Column("seen", Double, nullable=False, comment="when it was last used, to the minute"),
    Column("ends", Double, nullable=False),
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False, comment="which browser, in a few words"),
    _among("way", ("password", "openid")),
    _among("role", get_args(Role)),
    Index("sessions_user", "user", "way"),
    Index("sessions_ends", "ends"),
    comment="who is signed in",
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True, comment="SHA-256 of its value"),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("scope", Text, nullable=False, comment="read: it changes nothing, whatever its role"),
    Column("added", Double, nullable=False),
    Column("ends", Double, nullable=False),
    Column("seen", Double, comment="when it was last used, to the minute"),
    _among("role", get_args(Role)),
    _among("scope", ("read", "act")),
    comment="programs that use the API",
)

# Kinds of rows in the trail that change no state: they are neither a decision nor anybody's word about it.
ASIDE = (
    "verified",
    "acted",
    "silenced",
    "unsilenced",
    "absorbed",
    "noted",
    "suppressed",
    "unsuppressed",
    "alert_retried",
    "alert_discarded",
)


def create(connection: Connection) -> None:
    """Make all of it, in the caller's transaction, where nothing of it is yet."""
    for statement in _written(connection.dialect):
        connection.exec_driver_sql(statement)


@cache
def _written(dialect: Dialect) -> Sequence[str]:
    """The statements, which take longer to write than to carry out."""
    statements: list[str] = []
    connection: Any = MockConnection(dialect, lambda made, *_: statements.append(str(made.compile(dialect=dialect))))
    for index in _PARTIAL:
        partial(connection, index)
    metadata.create_all(connection, checkfirst=False)
    return statements


def partial(connection: Connection, index: Index) -> Index:
    """The same, of the rows alone that it is for."""
    index.dialect_options[connection.dialect.name]["where"] = _PARTIAL[index]
    return index
