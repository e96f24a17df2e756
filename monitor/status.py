"""How the monitor is, as one document: what `/status` answers and `monitor top` shows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from monitor import __version__
from monitor.config.config import Config
from monitor.delivery import SinkStats
from monitor.intake.protocol import Behind
from monitor.snapshot import Snapshot
from monitor.sources.standing import SourceStanding

__all__ = ["Rates", "document"]

OVER = 10.0  # seconds over which a rate is taken
_WORST = 5  # places of a source that are named, those with the most unread
_PROBLEMS = 20  # parts of a source that are named


class Rates:
    """How much of each a second, of counters that only grow. `note` them every few seconds."""

    def __init__(self) -> None:
        self._noted: deque[tuple[float, Mapping[str, float]]] = deque()

    def note(self, now: float, totals: Mapping[str, float]) -> None:
        """`now`: monotonic."""
        self._noted.append((now, dict(totals)))
        while len(self._noted) > 2 and self._noted[1][0] <= now - OVER:
            self._noted.popleft()

    def rates(self) -> dict[str, float]:
        """Over the last ten seconds, as far as they were noted."""
        if len(self._noted) < 2:
            return {}
        (began, before), (ended, after) = self._noted[0], self._noted[-1]
        return {name: (total - before.get(name, 0)) / (ended - began) for name, total in after.items()}


def document(
    config: Config,
    snapshot: Snapshot,
    standings: Iterable[SourceStanding],
    *,
    host: str,
    daemon: Mapping[str, Any] | None = None,
    rates: Mapping[str, float] | None = None,
    redact: Callable[[str], str] = lambda text: text,
) -> dict[str, Any]:
    """JSON with nothing in it that could hold a secret. `rates`: bytes a second by source. Without a `daemon` nothing
    is known of what it counts while it runs: such figures are null."""
    alive = daemon is not None
    rates = rates or {}
    sources = [one.row() for one in standings]
    for row in sources:
        name = row["name"]
        row["bytes_per_second"] = round(rates.get(name, 0.0)) if alive else None
        row["bytes"] = snapshot.read[name] if alive else None
        row["restarts"] = snapshot.restarts[name] if alive else None
        row["malformed"] = sum(n for (source, _), n in snapshot.malformed.items() if source == name) if alive else None
        row["failed"] = row["quotas"] = None
        row["behind"] = []
        if alive:
            _live(row, snapshot, redact)
    return {
        "version": __version__,
        "host": host,
        "time": time.time(),
        "daemon": daemon and {**daemon, "started": snapshot.started},
        "scan": _scan(snapshot, rates) if alive else None,
        "sources": sources,
        "rules": _rules(snapshot),
        "sinks": [_sink(sink.name, sink.type, snapshot, alive) for sink in config.sinks],
        "store": {
            "degraded": snapshot.store.degraded,
            "oldest_unsent": snapshot.store.oldest_unsent,
            "bytes": snapshot.store.size,
            "commits": snapshot.store.commits if alive else None,
            "retries": snapshot.store.retries if alive else None,
        },
        "incidents": [
            {"state": state, "severity": severity, "count": count}
            for (state, severity), count in sorted(snapshot.store.incidents.items())
        ],
    }


def _live(row: dict[str, Any], snapshot: Snapshot, redact: Callable[[str], str]) -> None:
    """The daemon knows better than what it wrote down last."""
    name = row["name"]
    row["last_success"] = snapshot.committed.get(name, row["last_success"])
    row["lag_seconds"] = snapshot.lag.get(name)
    problems = [(part, why) for (source, part), why in list(snapshot.degraded.items()) if source == name]
    row["problems"] = {redact(part): why for part, why in problems[:_PROBLEMS]}
    if (failure := snapshot.failures.get(name)) is not None:
        row["failed"] = dict(zip(("at", "error"), failure, strict=True))
    if (ask := snapshot.quotas.get(name)) is not None:
        row["quotas"] = [asdict(quota) for quota in ask()]
    if (tell := snapshot.backlog.get(name)) is not None:
        unread = tell()
        row["behind_bytes"] = sum(place.bytes for place in unread)
        row["lag_seconds"] = max((place.seconds for place in unread), default=0.0)
        row["behind"] = [asdict(place) for place in _worst(unread, redact)]


def _worst(unread: Sequence[Behind], redact: Callable[[str], str]) -> Iterable[Behind]:
    for one in sorted(unread, key=lambda place: -place.bytes)[:_WORST]:
        yield Behind(redact(one.place), one.bytes, round(one.seconds, 3))


def _scan(snapshot: Snapshot, rates: Mapping[str, float]) -> dict[str, Any]:
    stats = snapshot.scanner
    return {
        "bytes": stats.bytes,
        "bytes_per_second": round(sum(rates.values())),
        "blocks": stats.blocks,
        "failures": stats.failures,
        "seconds": stats.seconds,
        "busy": stats.busy,
        "rules": snapshot.rules,
    }


def _rules(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Those that anything was held against, the costliest first. `seconds`: of processor time, beyond the one scan for
    all rules."""
    found = [
        {"rule": rule, "looks": spent.looks, "matches": spent.matches, "seconds": round(spent.seconds, 6)}
        for rule, spent in dict(snapshot.scanner.rules).items()
    ]
    return sorted(found, key=lambda row: (-row["seconds"], row["rule"]))


def _sink(name: str, kind: str, snapshot: Snapshot, alive: bool) -> dict[str, Any]:
    stats = snapshot.sinks.get(name) or SinkStats()
    waiting = {state: snapshot.store.outbox.get((name, state), 0) for state in ("pending", "leased", "dead")}
    known = {
        "sent": stats.sent,
        "failed": stats.failed,
        "failing": stats.failing,
        "refusing": stats.refusing,
        "rests_until": stats.rests_until,
        "last_success": stats.last_sent,
        "last_error": stats.last_error if stats.failing else None,
        "pace": stats.pace,
        "seconds": stats.delay_sum / stats.sent if stats.sent else None,
    }
    return {"name": name, "type": kind, **waiting, **(known if alive else dict.fromkeys(known))}
