"""The daemon's numbers in Prometheus' words. Read from snapshots, so that a scrape never waits for the database."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor import __version__
from monitor.delivery import SinkStats
from monitor.delivery.channel import BUCKETS
from monitor.snapshot import Snapshot
from monitor.store import StoreStats

__all__ = ["DaemonCollector", "registry"]

_Labelled: TypeAlias = Mapping[Any, float]  # by one label, or by a tuple of them


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
        yield _gauges("build_info", "Version of the monitor.", ["version"], {__version__: 1})
        yield _gauge("start_time_seconds", "When the daemon started.", now.started)
        yield from _scanned(now)
        yield from _kept(now.store)
        yield from _told(now)
        yield from _sources(now)
        yield from _inventory(now)
        yield _counters("reloads", "Reloads of the configuration.", ["outcome"], now.reloads)


def _scanned(now: Snapshot) -> Iterable[Metric]:
    yield _gauge("rules", "Detection rules in use.", now.rules)
    yield _counter("scanned_bytes", "Bytes scanned.", now.scanner.bytes)
    yield _counter("scanned_blocks", "Blocks scanned.", now.scanner.blocks)
    yield _counter("scan_seconds", "Thread time spent reading and scanning.", now.scanner.seconds)
    yield _counter("scan_failures", "Blocks the engine failed on.", now.scanner.failures)


def _kept(store: StoreStats) -> Iterable[Metric]:
    """What is in the database, and how it is."""
    text = "New occurrences of secrets by rule and severity."
    yield _counters("findings", text, ["rule", "severity"], store.findings)
    yield _counter("findings_repeated", "Occurrences that were already known.", store.repeated)
    yield _counter("findings_suppressed", "Occurrences of secrets that are suppressed.", store.suppressed)
    yield _counter("incidents_opened", "Incidents opened.", store.opened)
    yield _gauges("incidents", "Incidents by state and severity.", ["state", "severity"], store.incidents)

    yield _gauges("outbox", "Notifications not yet delivered.", ["sink", "state"], store.outbox)
    yield _gauge("oldest_unsent_seconds", "Creation time of the oldest unsent notification.", store.oldest_unsent or 0)
    if store.drill_hops is not None:
        yield _gauge("drill_hops", "Hops of the last drill that came: found, acknowledged, resolved.", store.drill_hops)
    if store.drilled is not None:
        text = "When the last drill that went all the way was planted."
        yield _gauge("drill_last_success_timestamp_seconds", text, store.drilled)

    yield _gauge("database_bytes", "Size of the database on disk.", store.size)
    yield _counter("commits", "Commits to the database.", store.commits)
    yield _counter("commit_retries", "Transactions that had to wait.", store.retries)
    yield _gauge("store_degraded", "1 while the database cannot be written.", float(store.degraded is not None))


def _told(now: Snapshot) -> Iterable[Metric]:
    """What left: notifications, answers, questions to issuers and actions."""
    sent = {(name, how): getattr(stats, how) for name, stats in now.sinks.items() for how in ("sent", "failed", "dead")}
    yield _counters("notifications", "Notifications by sink and outcome.", ["sink", "outcome"], sent)
    yield from _sinks(now.sinks)
    text = "Answers to what people asked for, by sink and outcome."
    yield _counters("answers", text, ["sink", "outcome"], now.answers)
    text = "Answers of issuers to whether a secret works."
    yield _counters("verdicts", text, ["provider", "verdict"], now.verdicts)
    text = "Actions that took a secret back by what came of it."
    yield _counters("actions", text, ["action", "outcome"], now.acted)


def _sources(now: Snapshot) -> Iterable[Metric]:
    text = "Bytes that were lost, or records or datagrams by reason."
    yield _counters("bytes_missed", text, ["source", "reason"], now.missed)
    text = "How often something was lost, also what nobody can count."
    yield _counters("losses", text, ["source", "reason"], now.losses)
    yield _counters("malformed", "Answers and hooks that could not be used.", ["source", "what"], now.malformed)

    degraded = Counter(source for source, _ in now.degraded)
    yield _gauges("source_degraded", "Parts of a source that cannot work.", ["source"], degraded)
    text = "When what a source read was last kept."
    yield _gauges("source_last_success_timestamp_seconds", text, ["source"], now.committed)
    yield from _late(now)
    text = "Sources that had to be started again."
    yield _counters("source_restarts", text, ["source"], now.restarts)


def _inventory(now: Snapshot) -> Iterable[Metric]:
    """How far managers of secrets are known, by entry."""
    text = "When a manager of secrets was last read to its end, or else first asked."
    read = {entry: known.at for entry, known in now.inventory.items()}
    yield _gauges("inventory_last_success_timestamp_seconds", text, ["entry"], read)
    text = "1 while what is known of a manager of secrets is not up to date."
    stale = {entry: float(known.stale(time.time())) for entry, known in now.inventory.items()}
    yield _gauges("inventory_stale", text, ["entry"], stale)


def _late(now: Snapshot) -> Iterable[Metric]:
    """How far sources are behind what is written."""
    lag = GaugeMetricFamily(
        "exposure_monitor_source_lag_seconds",
        "Time from written to kept, by the clock of the log, of what a source kept last.",
        labels=["source"],
    )
    for source, seconds in now.lag.items():
        lag.add_metric([source], seconds)
    backlog = GaugeMetricFamily(
        "exposure_monitor_source_backlog_bytes", "Bytes of followed files that were not read yet.", labels=["source"]
    )
    for source, tell in now.backlog.items():
        backlog.add_metric([source], sum(place.bytes for place in tell()))
    yield from (lag, backlog)


def _sinks(sinks: Mapping[str, SinkStats]) -> Iterable[Metric]:
    """How each sink is, and how long it took until it had what was meant for it."""
    delays = HistogramMetricFamily(
        "exposure_monitor_delivery_seconds", "Time from notification made to accepted by the sink.", labels=["sink"]
    )
    last = GaugeMetricFamily(
        "exposure_monitor_sink_last_success_timestamp_seconds",
        "When the sink last accepted something.",
        labels=["sink"],
    )
    refusing = GaugeMetricFamily(
        "exposure_monitor_sink_refusing", "1 while the sink refuses everything it is sent.", labels=["sink"]
    )
    for name, stats in sinks.items():
        counts = zip([*map(str, BUCKETS), "+Inf"], accumulate(stats.delays), strict=True)
        delays.add_metric([name], list(counts), stats.delay_sum)
        if stats.last_sent is not None:
            last.add_metric([name], stats.last_sent)
        refusing.add_metric([name], float(stats.refusing is not None))
    yield from (delays, last, refusing)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"exposure_monitor_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"exposure_monitor_{name}", text, value=value)


def _counters(name: str, text: str, labels: Sequence[str], values: _Labelled) -> Metric:
    family = CounterMetricFamily(f"exposure_monitor_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric([key] if isinstance(key, str) else list(key), value)
    return family


def _gauges(name: str, text: str, labels: Sequence[str], values: _Labelled) -> Metric:
    family = GaugeMetricFamily(f"exposure_monitor_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric([key] if isinstance(key, str) else list(key), value)
    return family
