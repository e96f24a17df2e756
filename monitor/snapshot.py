"""What the daemon counts while it runs. Apart from the metrics, whose library `--once` has no use for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from monitor.delivery import SinkStats
from monitor.intake.protocol import Behind, RequestQuota
from monitor.inventory.held import Known
from monitor.scanning.scanner import ScannerStats
from monitor.store import StoreStats

__all__ = ["Snapshot"]


@dataclass(slots=True)
class Snapshot:
    """What the daemon shows. Replaced or counted up by it, read by a scrape."""

    scanner: ScannerStats = field(default_factory=ScannerStats)
    store: StoreStats = field(default_factory=StoreStats)
    sinks: dict[str, SinkStats] = field(default_factory=dict)
    rules: int = 0
    started: float = 0.0
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (provider, valid, refused or unknown)
    acted: Counter[tuple[str, str]] = field(default_factory=Counter)  # (action, completed, accepted, failed or unknown)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)  # (sink, sent, failed or dead)
    sign_ins: Counter[tuple[str, str]] = field(
        default_factory=Counter
    )  # (way, accepted or refused or held) → how often
    reloads: Counter[str] = field(default_factory=Counter)  # "ok", "refused"
    missed: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, reason) → bytes, or records
    losses: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, reason) → how often
    malformed: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, what)
    degraded: dict[tuple[str, str], str] = field(default_factory=dict)  # (source, part) → message
    committed: dict[str, float] = field(default_factory=dict)  # source → when what it read was last kept
    lag: dict[str, float] = field(default_factory=dict)  # source → seconds from written to kept, of what it kept last
    backlog: dict[str, Callable[[], Sequence[Behind]]] = field(default_factory=dict)  # source → tells what is unread
    quotas: dict[str, Callable[[], Sequence[RequestQuota]]] = field(default_factory=dict)  # source → what it may ask
    read: Counter[str] = field(default_factory=Counter)  # source → bytes of it that were scanned and kept
    inventory: dict[str, Known] = field(default_factory=dict)  # by entry
    restarts: Counter[str] = field(default_factory=Counter)  # source
    failures: dict[str, tuple[float, str]] = field(default_factory=dict)  # source → when it last failed, and how
