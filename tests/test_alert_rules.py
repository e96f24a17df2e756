"""The alert rules and the dashboard: about metrics that there are, and true when they should be."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.monitor.daemon.test_metrics import FULL, printed

FOLDER = Path(__file__).parent.parent / "docs" / "operations"
RULES = (FOLDER / "alerts.yml").read_text(encoding="utf-8")
BOARD = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
EXPRESSIONS = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]

# Series, a point a minute from 0 on, and which alert fires at which minute.
CASES = {
    "ExposureMonitorDown": ('up{job="exposure-monitor"}', "1 0 0 0 0", 4),
    "ExposureMonitorLost": ('exposure_monitor_losses_total{source="a", reason="r"}', "0x14 1x10", 16),
    "ExposureMonitorLost for the first time": (
        'exposure_monitor_losses_total{source="a", reason="r"}',
        "_x14 1x10",
        16,
    ),
    "ExposureMonitorSourceDegraded": ('exposure_monitor_source_degraded{source="a"}', "1x10", 6),
    "ExposureMonitorSourceRestarts": ('exposure_monitor_source_restarts_total{source="a"}', "0+1x20", 15),
    "ExposureMonitorBehind": ('exposure_monitor_source_backlog_bytes{source="a"}', "3e8+1e7x30", 25),
    "ExposureMonitorInventoryStale": ('exposure_monitor_inventory_stale{entry="e"}', "1x10", 6),
    "ExposureMonitorStoreDegraded": ("exposure_monitor_store_degraded", "1x5", 2),
    "ExposureMonitorSinkRefuses": ('exposure_monitor_sink_refusing{sink="s"}', "1x5", 3),
    "ExposureMonitorUnsent": ("exposure_monitor_oldest_unsent_seconds", "1x20", 12),
    "ExposureMonitorDeadLetters": ('exposure_monitor_outbox{sink="s", state="dead"}', "2x10", 6),
    "ExposureMonitorReloadRefused": ('exposure_monitor_reloads_total{outcome="refused"}', "0x5 1x5", 7),
    "ExposureMonitorDrillFailed": ("exposure_monitor_drill_hops", "2x20", 16),
    "ExposureMonitorDrillOverdue": ("exposure_monitor_drill_last_success_timestamp_seconds", "-700000x5", 2),
    "ExposureMonitorScanFailures": ("exposure_monitor_scan_failures_total", "0x5 2x5", 7),
}
# The same, when all is well.
QUIET = [
    ("exposure_monitor_drill_hops", "1 1 3x40"),
    ("exposure_monitor_drill_last_success_timestamp_seconds", "0x40"),
    ('up{job="exposure-monitor"}', "1x40"),
    ('exposure_monitor_losses_total{source="a", reason="r"}', "3x40"),
    ('exposure_monitor_source_degraded{source="a"}', "0 1 1 0 0x40"),
    ('exposure_monitor_source_backlog_bytes{source="a"}', "9e8-2e7x40"),
    ('exposure_monitor_source_lag_seconds{source="a"}', "1x40"),
    ('exposure_monitor_inventory_stale{entry="e"}', "0 1 1 0 0x40"),
    ("exposure_monitor_oldest_unsent_seconds", "0x40"),
    ('exposure_monitor_outbox{sink="s", state="dead"}', "0x40"),
]


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def names(expression: str) -> set[str]:
    return set(re.findall(r"\b((?:exposure_monitor|process)_\w+)", expression))


def shown() -> set[str]:
    return set(re.findall(r"(?m)^(\w+)(?:\{| )", printed(FULL)))


def test_promtool_takes_the_rules() -> None:
    promtool("check", "rules", str(FOLDER / "alerts.yml"))


def test_rules_and_dashboard_ask_for_metrics_that_there_are() -> None:
    asked = names(" ".join([*re.findall(r"expr: (.*)", RULES), *EXPRESSIONS]))
    assert asked
    assert asked - shown() == set()
    assert "exposure_monitor_losses_total" in asked


def test_every_rule_is_tried() -> None:
    told = {"ExposureMonitorLate"}  # two series together: below
    assert set(re.findall(r"alert: (\w+)", RULES)) == {name.split()[0] for name in CASES} | told


def tried(tmp_path: Path, series: list[tuple[str, str]], minute: int, alerts: str) -> None:
    inputs = "".join(f"      - {{series: '{name}', values: '{values}'}}\n" for name, values in series)
    test = tmp_path / "test.yml"
    test.write_text(
        f"rule_files: ['{FOLDER}/alerts.yml']\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n"
        f"    input_series:\n{inputs}    promql_expr_test:\n"
        f"      - {{expr: '{alerts}', eval_time: {minute}m, exp_samples: [{{labels: '{{}}', value: 1}}]}}\n"
    )
    promtool("test", "rules", str(test))


@pytest.mark.parametrize("name", CASES)
def test_a_rule_fires_when_it_should(tmp_path: Path, name: str) -> None:
    series, values, minute = CASES[name]
    alert = name.split(maxsplit=1)[0]
    query = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) > bool 0'
    tried(tmp_path, [(series, values)], minute, query)


def test_late_is_what_is_late_and_still_coming(tmp_path: Path) -> None:
    lag = ('exposure_monitor_source_lag_seconds{source="a"}', "900x30")
    fresh = ('exposure_monitor_source_last_success_timestamp_seconds{source="a"}', "0+60x30")
    old = ('exposure_monitor_source_last_success_timestamp_seconds{source="a"}', "0x30")
    fires = 'count(ALERTS{alertname="ExposureMonitorLate", alertstate="firing"})'
    tried(tmp_path, [lag, fresh], 20, f"{fires} > bool 0")
    tried(tmp_path, [lag, old], 25, f"absent({fires})")


def test_nothing_fires_when_all_is_well(tmp_path: Path) -> None:
    tried(tmp_path, QUIET, 35, 'absent(count(ALERTS{alertstate="firing"}))')


def test_the_dashboard_can_be_imported() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in BOARD["panels"]:
        assert {"type", "title", "gridPos", "targets", "datasource"} <= panel.keys()
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    assert {variable["name"] for variable in BOARD["templating"]["list"]} == {"datasource", "instance"}
