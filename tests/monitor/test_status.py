from __future__ import annotations

from collections import Counter
from pathlib import Path

import orjson

from monitor.config.config import parse
from monitor.delivery import SinkStats
from monitor.intake.ledger import Loss
from monitor.intake.protocol import Behind, RequestQuota
from monitor.scanning.scanner import RuleStats, ScannerStats
from monitor.snapshot import Snapshot
from monitor.sources.base import Where
from monitor.sources.standing import SourceStanding
from monitor.status import Rates, document
from monitor.store import StoreStats

CONFIG = parse(
    """
[[sources]]
name = "app"
type = "file"
include = ["/var/log/app/*.log"]
[[sinks]]
name = "chat"
type = "console"
""",
    Path("config.toml"),
)
LOSS = Loss("gone", "/var/log/app/a.log", "bytes", 11, 0, 1.0, 2.0)
STANDING = SourceStanding("app", "file", Where("2 files", 70), 5.0, 1.0, {"/old.log": "was so"}, (LOSS,))


def test_a_rate_is_of_the_last_seconds() -> None:
    pace = Rates()
    assert pace.rates() == {}
    pace.note(100.0, {"a": 5})
    assert pace.rates() == {}
    pace.note(102.0, {"a": 25, "b": 4})
    assert pace.rates() == {"a": 10.0, "b": 2.0}
    for second in range(104, 130, 2):
        pace.note(second, {"a": 25, "b": 4})
    assert pace.rates() == {"a": 0.0, "b": 0.0}


def test_a_daemon_tells_what_it_counts() -> None:
    unread = [Behind(f"/{number}.log", number, number / 10) for number in range(9)]
    snapshot = Snapshot(
        scanner=ScannerStats(blocks=3, bytes=700, rules={"a": RuleStats(4, 0.5, 1), "b": RuleStats(9, 1.5, 2)}),
        store=StoreStats(outbox={("chat", "pending"): 3, ("gone", "dead"): 1}, incidents={("open", "high"): 2}),
        sinks={"chat": SinkStats(sent=4, failing=2, last_error="no answer", pace=1.0, delay_sum=6.0)},
        degraded={("app", "/b.log"): "cannot be read", ("other", "x"): "y"},
        backlog={"app": lambda: unread},
        read=Counter({"app": 700}),
        restarts=Counter({"app": 1}),
        failures={"app": (98.0, "OSError")},
        quotas={"app": lambda: [RequestQuota("core", 5000, 7, 60.0)]},
        malformed=Counter({("app", "hook"): 2, ("app", "answer"): 1}),
        committed={"app": 99.0},
    )
    found = document(
        CONFIG,
        snapshot,
        [STANDING],
        host="web1",
        daemon={"phase": "watching", "problems": {}},
        rates={"app": 350.4},
        redact=lambda text: text.replace("8", "?"),
    )
    [source] = found["sources"]
    assert (source["bytes"], source["bytes_per_second"], source["restarts"], source["malformed"]) == (700, 350, 1, 3)
    assert (source["behind_bytes"], source["lag_seconds"], source["last_success"]) == (36, 0.8, 99.0)
    assert source["position"] == "2 files"
    assert source["failed"] == {"at": 98.0, "error": "OSError"}
    assert source["quotas"] == [{"resource": "core", "limit": 5000, "remaining": 7, "seconds": 60.0}]
    assert source["problems"] == {"/b.log": "cannot be read"}
    assert [place["place"] for place in source["behind"]] == ["/?.log", "/7.log", "/6.log", "/5.log", "/4.log"]
    assert source["lost"][0]["count"] == 11
    assert [(row["rule"], row["looks"], row["matches"]) for row in found["rules"]] == [("b", 9, 2), ("a", 4, 1)]
    [sink] = found["sinks"]
    assert (sink["pending"], sink["dead"], sink["sent"], sink["last_error"]) == (3, 0, 4, "no answer")
    assert (sink["pace"], sink["seconds"]) == (1.0, 1.5)
    assert found["incidents"] == [{"state": "open", "severity": "high", "count": 2}]
    assert orjson.loads(orjson.dumps(found)) == found


def test_without_a_daemon_what_only_it_knows_is_null() -> None:
    found = document(CONFIG, Snapshot(store=StoreStats(degraded="no database")), [STANDING], host="web1")
    [source] = found["sources"]
    assert found["daemon"] is found["scan"] is source["bytes_per_second"] is source["bytes"] is None
    assert (source["behind_bytes"], source["lag_seconds"], source["last_success"]) == (70, 1.0, 5.0)
    assert source["problems"] == {"/old.log": "was so"}
    assert found["sinks"][0]["sent"] is None
    assert found["store"]["degraded"] == "no database"
