"""The daemon's numbers in Prometheus' words. Read from snapshots, so that a scrape never waits for the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor import __version__
from monitor.delivery import SinkStats
from monitor.delivery.channel import BUCKETS
from monitor.snapshot import Snapshot

__all__ = ["DaemonCollector", "registry"]


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

        def counter(name: str, text: str, value: float) -> CounterMetricFamily:
            return CounterMetricFamily(f"exposure_monitor_{name}", text, value=value)

        def gauge(
            name: str, text: str, value: float | None = None, labels: list[str] | None = None
        ) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"exposure_monitor_{name}", text, value=value, labels=labels)

        def labelled(name: str, text: str, labels: list[str]) -> CounterMetricFamily:
            return CounterMetricFamily(f"exposure_monitor_{name}", text, labels=labels)

        build = gauge("build_info", "Version of the monitor.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield gauge("start_time_seconds", "When the daemon started.", now.started)
        yield gauge("rules", "Detection rules in use.", now.rules)
        yield counter("scanned_bytes", "Bytes scanned.", now.scanner.bytes)
        yield counter("scanned_blocks", "Blocks scanned.", now.scanner.blocks)
        yield counter("scan_seconds", "Thread time spent reading and scanning.", now.scanner.seconds)
        yield counter("scan_failures", "Blocks the engine failed on.", now.scanner.failures)
        findings = labelled("findings", "New occurrences of secrets by rule and severity.", ["rule", "severity"])
        for (rule, level), count in now.store.findings.items():
            findings.add_metric([rule, level], count)
        yield findings
        yield counter("findings_repeated", "Occurrences that were already known.", now.store.repeated)
        yield counter("findings_suppressed", "Occurrences of secrets that are suppressed.", now.store.suppressed)
        yield counter("incidents_opened", "Incidents opened.", now.store.opened)
        incidents = gauge("incidents", "Incidents by state and severity.", labels=["state", "severity"])
        for (state, severity), count in now.store.incidents.items():
            incidents.add_metric([state, severity], count)
        yield incidents
        outbox = gauge("outbox", "Notifications not yet delivered.", labels=["sink", "state"])
        for (sink, waiting), count in now.store.outbox.items():
            outbox.add_metric([sink, waiting], count)
        yield outbox
        yield gauge(
            "oldest_unsent_seconds", "Creation time of the oldest unsent notification.", now.store.oldest_unsent or 0
        )
        if now.store.drill_hops is not None:
            text = "Hops of the last drill that came: found, acknowledged, resolved."
            yield gauge("drill_hops", text, now.store.drill_hops)
        if now.store.drilled is not None:
            text = "When the last drill that went all the way was planted."
            yield gauge("drill_last_success_timestamp_seconds", text, now.store.drilled)
        yield gauge("database_bytes", "Size of the database on disk.", now.store.size)
        yield counter("commits", "Commits to the database.", now.store.commits)
        yield counter("commit_retries", "Transactions that had to wait.", now.store.retries)
        yield gauge("store_degraded", "1 while the database cannot be written.", float(now.store.degraded is not None))
        sent = labelled("notifications", "Notifications by sink and outcome.", ["sink", "outcome"])
        for name, stats in now.sinks.items():
            sent.add_metric([name, "sent"], stats.sent)
            sent.add_metric([name, "failed"], stats.failed)
            sent.add_metric([name, "dead"], stats.dead)
        yield sent
        yield from _sinks(now.sinks)
        for name, text, names, counts in (
            ("verdicts", "Answers of issuers to whether a secret works.", ["provider", "verdict"], now.verdicts),
            ("actions", "Actions that took a secret back by what came of it.", ["action", "outcome"], now.acted),
        ):
            answers = labelled(name, text, names)
            for pair, count in counts.items():
                answers.add_metric(list(pair), count)
            yield answers
        for name, text, label, values in (
            ("bytes_missed", "Bytes that were lost, or records or datagrams by reason.", "reason", now.missed),
            ("losses", "How often something was lost, also what nobody can count.", "reason", now.losses),
            ("malformed", "Answers and hooks that could not be used.", "what", now.malformed),
        ):
            family = labelled(name, text, ["source", label])
            for (source, value), count in values.items():
                family.add_metric([source, value], count)
            yield family
        degraded = gauge("source_degraded", "Parts of a source that cannot work.", labels=["source"])
        for source, count in Counter(source for source, _ in now.degraded).items():
            degraded.add_metric([source], count)
        yield degraded
        kept = gauge(
            "source_last_success_timestamp_seconds", "When what a source read was last kept.", labels=["source"]
        )
        for source, moment in now.committed.items():
            kept.add_metric([source], moment)
        yield kept
        yield from _late(now)
        restarts = labelled("source_restarts", "Sources that had to be started again.", ["source"])
        for source, count in now.restarts.items():
            restarts.add_metric([source], count)
        yield restarts
        reloads = labelled("reloads", "Reloads of the configuration.", ["outcome"])
        for outcome, count in now.reloads.items():
            reloads.add_metric([outcome], count)
        yield reloads


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
