"""The daemon's numbers in Prometheus' words. Read from snapshots, so that a scrape never waits for the database."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor import __version__
from monitor.delivery import SinkStats
from monitor.delivery.channel import BUCKETS
from monitor.snapshot import Snapshot

__all__ = ["DaemonCollector", "registry"]

_ByLabel: TypeAlias = Mapping[Any, float]  # by one label, or by a tuple of them


class _Row(NamedTuple):
    """A metric. `value`: what it is now, by its labels where it has any; None: it is not shown."""

    kind: type[CounterMetricFamily] | type[GaugeMetricFamily]
    name: str
    text: str
    value: Callable[[Snapshot], float | _ByLabel | None]
    labels: tuple[str, ...] = ()


_C, _G = CounterMetricFamily, GaugeMetricFamily
_METRICS = (
    _Row(_G, "build_info", "Version of the monitor.", lambda now: {__version__: 1}, ("version",)),
    _Row(_G, "start_time_seconds", "When the daemon started.", lambda now: now.started),
    _Row(_G, "rules", "Detection rules in use.", lambda now: now.rules),
    _Row(_C, "scanned_bytes", "Bytes scanned.", lambda now: now.scanner.bytes),
    _Row(_C, "scanned_blocks", "Blocks scanned.", lambda now: now.scanner.blocks),
    _Row(_C, "scan_seconds", "Thread time spent reading and scanning.", lambda now: now.scanner.seconds),
    _Row(_C, "scan_failures", "Blocks the engine failed on.", lambda now: now.scanner.failures),
    # What is in the database, and how it is
    _Row(
        _C,
        "findings",
        "New occurrences of secrets by rule and severity.",
        lambda now: now.store.findings,
        ("rule", "severity"),
    ),
    _Row(_C, "findings_repeated", "Occurrences that were already known.", lambda now: now.store.repeated),
    _Row(_C, "findings_suppressed", "Occurrences of secrets that are suppressed.", lambda now: now.store.suppressed),
    _Row(_C, "incidents_opened", "Incidents opened.", lambda now: now.store.opened),
    _Row(_G, "incidents", "Incidents by state and severity.", lambda now: now.store.incidents, ("state", "severity")),
    _Row(_G, "outbox", "Notifications not yet delivered.", lambda now: now.store.outbox, ("sink", "state")),
    _Row(
        _G,
        "oldest_unsent_seconds",
        "Creation time of the oldest unsent notification.",
        lambda now: now.store.oldest_unsent or 0,
    ),
    _Row(
        _G,
        "drill_hops",
        "Hops of the last drill that came: found, acknowledged, resolved.",
        lambda now: now.store.drill_hops,
    ),
    _Row(
        _G,
        "drill_last_success_timestamp_seconds",
        "When the last drill that went all the way was planted.",
        lambda now: now.store.drilled,
    ),
    _Row(_G, "database_bytes", "Size of the database on disk.", lambda now: now.store.size),
    _Row(_C, "commits", "Commits to the database.", lambda now: now.store.commits),
    _Row(_C, "commit_retries", "Transactions that had to wait.", lambda now: now.store.retries),
    _Row(
        _G,
        "store_degraded",
        "1 while the database cannot be written.",
        lambda now: float(now.store.degraded is not None),
    ),
    # What left: notifications, answers, questions to issuers and actions
    _Row(
        _C,
        "notifications",
        "Notifications by sink and outcome.",
        lambda now: {
            (name, how): getattr(stats, how) for name, stats in now.sinks.items() for how in ("sent", "failed", "dead")
        },
        ("sink", "outcome"),
    ),
    _Row(
        _G,
        "sink_last_success_timestamp_seconds",
        "When the sink last accepted something.",
        lambda now: {name: stats.last_sent for name, stats in now.sinks.items() if stats.last_sent is not None},
        ("sink",),
    ),
    _Row(
        _G,
        "sink_refusing",
        "1 while the sink refuses everything it is sent.",
        lambda now: {name: float(stats.refusing is not None) for name, stats in now.sinks.items()},
        ("sink",),
    ),
    _Row(
        _C,
        "answers",
        "Answers to what people asked for, by sink and outcome.",
        lambda now: now.answers,
        ("sink", "outcome"),
    ),
    _Row(
        _C,
        "verdicts",
        "Answers of issuers to whether a secret works.",
        lambda now: now.verdicts,
        ("provider", "verdict"),
    ),
    _Row(
        _C,
        "actions",
        "Actions that took a secret back by what came of it.",
        lambda now: now.acted,
        ("action", "outcome"),
    ),
    # Sources
    _Row(
        _C,
        "bytes_missed",
        "Bytes that were lost, or records or datagrams by reason.",
        lambda now: now.missed,
        ("source", "reason"),
    ),
    _Row(
        _C,
        "losses",
        "How often something was lost, also what nobody can count.",
        lambda now: now.losses,
        ("source", "reason"),
    ),
    _Row(_C, "malformed", "Answers and hooks that could not be used.", lambda now: now.malformed, ("source", "what")),
    _Row(
        _G,
        "source_degraded",
        "Parts of a source that cannot work.",
        lambda now: Counter(source for source, _ in now.degraded),
        ("source",),
    ),
    _Row(
        _G,
        "source_last_success_timestamp_seconds",
        "When what a source read was last stored.",
        lambda now: now.committed,
        ("source",),
    ),
    _Row(
        _G,
        "source_lag_seconds",
        "Time from written to stored, by the clock of the log, of what a source stored last.",
        lambda now: now.lag,
        ("source",),
    ),
    _Row(
        _G,
        "source_backlog_bytes",
        "Bytes of followed files that were not read yet.",
        lambda now: {source: sum(place.bytes for place in tell()) for source, tell in now.backlog.items()},
        ("source",),
    ),
    _Row(_C, "source_restarts", "Sources that had to be started again.", lambda now: now.restarts, ("source",)),
    # How far managers of secrets are known, by entry
    _Row(
        _G,
        "inventory_last_success_timestamp_seconds",
        "When a manager of secrets was last read to its end, or else first asked.",
        lambda now: {entry: known.at for entry, known in now.inventory.items()},
        ("entry",),
    ),
    _Row(
        _G,
        "inventory_stale",
        "1 while what is known of a manager of secrets is not up to date.",
        lambda now: {entry: float(known.stale(time.time())) for entry, known in now.inventory.items()},
        ("entry",),
    ),
    _Row(
        _C,
        "sign_ins",
        "Sign-ins to the console; those held had to wait.",
        lambda now: now.sign_ins,
        ("way", "outcome"),
    ),
    _Row(_C, "reloads", "Reloads of the configuration.", lambda now: now.reloads, ("outcome",)),
)


def registry(snapshot: Callable[[], Snapshot]) -> CollectorRegistry:
    """All that `/metrics` shows."""
    made = CollectorRegistry()
    made.register(DaemonCollector(snapshot))
    ProcessCollector(registry=made)
    return made


class DaemonCollector(Collector):
    """Metrics of one daemon."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        now = self._snapshot()
        for row in _METRICS:
            if (value := row.value(now)) is not None:
                yield _family(row, value)
        yield _delays(now.sinks)


def _family(row: _Row, value: float | _ByLabel) -> Metric:
    name = f"exposure_monitor_{row.name}"
    if not isinstance(value, Mapping):
        return row.kind(name, row.text, value=value)
    family = row.kind(name, row.text, labels=row.labels)
    for key, number in value.items():
        family.add_metric([key] if isinstance(key, str) else list(key), number)
    return family


def _delays(sinks: Mapping[str, SinkStats]) -> Metric:
    """How long it took until each sink had what was meant for it."""
    delays = HistogramMetricFamily(
        "exposure_monitor_delivery_seconds", "Time from notification made to accepted by the sink.", labels=["sink"]
    )
    for name, stats in sinks.items():
        counts = zip([*map(str, BUCKETS), "+Inf"], accumulate(stats.delays), strict=True)
        delays.add_metric([name], list(counts), stats.delay_sum)
    return delays
