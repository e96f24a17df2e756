from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from monitor.daemon.metrics import registry
from monitor.delivery import SinkStats
from monitor.intake.protocol import Behind
from monitor.scanning.scanner import ScannerStats
from monitor.snapshot import Known, Snapshot
from monitor.store import StoreStats

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def printed(snapshot: Snapshot) -> str:
    """What `/metrics` answers."""
    return generate_latest(registry(lambda: snapshot)).decode()


def scrape(snapshot: Snapshot) -> Samples:
    """Every sample by name and labels, as a scraper reads them from the text."""
    found: Samples = {}
    for family in text_string_to_metric_families(printed(snapshot)):
        assert family.documentation.endswith("."), family.name
        assert family.name.startswith(("exposure_monitor_", "process_"))
        for sample in family.samples:
            found[sample.name.removeprefix("exposure_monitor_"), tuple(sorted(sample.labels.items()))] = sample.value
    return found


STORE = StoreStats(
    incidents={("open", "critical"): 2},
    outbox={("chat", "pending"): 3},
    oldest_unsent=77.0,
    size=4096,
    findings={("github-pat", "critical"): 5},
    repeated=6,
    suppressed=5,
    drill_hops=3,
    drilled=55.0,
    opened=7,
    commits=8,
    retries=9,
    degraded="disk is full",
)
FULL = Snapshot(
    scanner=ScannerStats(blocks=1, bytes=2, failures=3, seconds=4.5),
    store=STORE,
    sinks={
        "chat": SinkStats(
            sent=1, failed=2, dead=3, last_sent=99.0, refusing="no", delays=[1] + [0] * 12, delay_sum=0.02
        )
    },
    rules=80,
    sign_ins=Counter({("password", "refused"): 3}),
    reloads=Counter({"ok": 2, "refused": 1}),
    missed=Counter({("app", "truncated"): 100}),
    losses=Counter({("app", "truncated"): 2}),
    verdicts=Counter({("aws", "refused"): 6, ("aws", "valid"): 1}),
    answers=Counter({("chat", "failed"): 4}),
    acted=Counter({("revoke-key", "unknown"): 2}),
    malformed=Counter({("gh", "hook"): 4}),
    degraded={("app", "/var/log/a.log"): "x", ("app", "/var/log/b.log"): "y", ("other", "z"): "z"},
    restarts=Counter({"app": 5}),
    inventory={"gateway": Known(41.0, 60.0)},
    committed={"app": 42.0},
    lag={"app": 1.5},
    backlog={"app": lambda: [Behind("/a.log", 5, 1.0), Behind("/b.log", 2, 0.0)]},
)


def test_a_fresh_daemon_has_numbers_and_no_labels_yet() -> None:
    found = scrape(Snapshot(started=5.0))
    assert found["start_time_seconds", ()] == 5
    assert found["scanned_bytes_total", ()] == 0
    assert found["store_degraded", ()] == 0
    assert {labels for name, labels in found if name != "build_info"} == {()}


def test_every_number_arrives_under_its_name() -> None:
    found = scrape(FULL)
    wanted = {
        ("scanned_blocks_total", ()): 1,
        ("scanned_bytes_total", ()): 2,
        ("scan_failures_total", ()): 3,
        ("scan_seconds_total", ()): 4.5,
        ("findings_total", (("rule", "github-pat"), ("severity", "critical"))): 5,
        ("source_lag_seconds", (("source", "app"),)): 1.5,
        ("source_backlog_bytes", (("source", "app"),)): 7,
        ("findings_repeated_total", ()): 6,
        ("findings_suppressed_total", ()): 5,
        ("drill_hops", ()): 3,
        ("drill_last_success_timestamp_seconds", ()): 55,
        ("incidents_opened_total", ()): 7,
        ("commits_total", ()): 8,
        ("commit_retries_total", ()): 9,
        ("database_bytes", ()): 4096,
        ("store_degraded", ()): 1,
        ("rules", ()): 80,
        ("source_last_success_timestamp_seconds", (("source", "app"),)): 42,
        ("delivery_seconds_bucket", (("le", "0.05"), ("sink", "chat"))): 1,
        ("delivery_seconds_bucket", (("le", "+Inf"), ("sink", "chat"))): 1,
        ("delivery_seconds_count", (("sink", "chat"),)): 1,
        ("delivery_seconds_sum", (("sink", "chat"),)): 0.02,
        ("sink_last_success_timestamp_seconds", (("sink", "chat"),)): 99,
        ("sink_refusing", (("sink", "chat"),)): 1,
        ("incidents", (("severity", "critical"), ("state", "open"))): 2,
        ("outbox", (("sink", "chat"), ("state", "pending"))): 3,
        ("oldest_unsent_seconds", ()): 77,
        ("notifications_total", (("outcome", "sent"), ("sink", "chat"))): 1,
        ("notifications_total", (("outcome", "failed"), ("sink", "chat"))): 2,
        ("notifications_total", (("outcome", "dead"), ("sink", "chat"))): 3,
        ("bytes_missed_total", (("reason", "truncated"), ("source", "app"))): 100,
        ("losses_total", (("reason", "truncated"), ("source", "app"))): 2,
        ("verdicts_total", (("provider", "aws"), ("verdict", "refused"))): 6,
        ("verdicts_total", (("provider", "aws"), ("verdict", "valid"))): 1,
        ("answers_total", (("outcome", "failed"), ("sink", "chat"))): 4,
        ("actions_total", (("action", "revoke-key"), ("outcome", "unknown"))): 2,
        ("malformed_total", (("source", "gh"), ("what", "hook"))): 4,
        ("source_degraded", (("source", "app"),)): 2,
        ("source_degraded", (("source", "other"),)): 1,
        ("inventory_last_success_timestamp_seconds", (("entry", "gateway"),)): 41,
        ("inventory_stale", (("entry", "gateway"),)): 1,
        ("source_restarts_total", (("source", "app"),)): 5,
        ("sign_ins_total", (("outcome", "refused"), ("way", "password"))): 3,
        ("reloads_total", (("outcome", "ok"),)): 2,
        ("reloads_total", (("outcome", "refused"),)): 1,
    }
    assert {key: found[key] for key in wanted} == wanted


def test_messages_stay_out_of_the_metrics() -> None:
    snapshot = Snapshot(store=StoreStats(degraded="reason-in-words"), degraded={("app", "/var/log/a.log"): "message"})
    text = printed(snapshot)
    assert "reason-in-words" not in text
    assert "message" not in text
    assert "a.log" not in text, "paths as labels have no bound"


def test_the_documentation_shows_each_metric_with_its_labels_type_and_meaning_and_no_other() -> None:
    text = (Path(__file__).parents[3] / "docs/operations.md").read_text(encoding="utf-8")
    row = re.compile(
        r"^\| `((?:exposure_monitor|process)_\w+?)(?:_total)?(?:\{([\w,]+)\})?` \| (\w+) \| (.+) \|$", re.MULTILINE
    )
    documented = {
        name: (set((labels or "").split(",")) - {""}, kind, f"{what}.")
        for name, labels, kind, what in row.findall(text)
    }
    families = {
        family.name: (
            {label for sample in family.samples for label in sample.labels} - {"le"},
            family.type,
            family.documentation,
        )
        for family in text_string_to_metric_families(printed(FULL))
    }
    assert documented == families


def test_promtool_finds_nothing_to_say() -> None:
    command = ["promtool", "check", "metrics"]
    checked = subprocess.run(command, input=printed(FULL), capture_output=True, text=True, check=False, timeout=300)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
