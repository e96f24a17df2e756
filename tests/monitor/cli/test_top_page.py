from __future__ import annotations

import copy
from typing import Any

import pytest

from monitor.cli.top_page import page

STATUS: dict[str, Any] = {
    "version": "1",
    "host": "web1",
    "time": 10_000.0,
    "note": None,
    "daemon": {"phase": "watching", "problems": {"sinks": "sink chat refuses everything"}, "started": 2_800.0},
    "scan": {"bytes": 5e9, "bytes_per_second": 12_345_678, "blocks": 9, "failures": 2, "seconds": 72.0, "busy": 1}
    | {"rules": 1796},
    "sources": [
        {"name": "app", "type": "file", "position": "3 files", "read_up_to": None, "last_success": 9_990.0}
        | {"problems": {f"/{n}\x1b.log": "cannot be read" for n in range(7)}, "bytes": 1, "bytes_per_second": 1500}
        | {"behind_bytes": 2_000_000, "lag_seconds": 4.25, "restarts": 2, "malformed": 0}
        | {"behind": [{"place": "/big.log", "bytes": 1_999_000, "seconds": 130.0}]}
        | {
            "lost": [
                {"reason": "gone", "place": "", "unit": "bytes", "count": 7, "unknown": 1, "first": 1, "last": 9_400}
            ]
        },
    ],
    "rules": [{"rule": f"r{n}", "looks": 4000, "matches": n, "seconds": 7.2 - n / 10} for n in range(20)],
    "sinks": [
        {"name": "chat", "type": "slack", "pending": 4, "leased": 1, "dead": 2, "sent": 3, "failed": 5, "failing": 5}
        | {"refusing": "HTTP 403", "last_success": 9_000.0, "last_error": "HTTP 403"},
        {"name": "hook", "type": "webhook", "pending": 0, "leased": 0, "dead": 0, "sent": 0, "failed": 1, "failing": 1}
        | {"refusing": None, "last_success": None, "last_error": "no answer"},
    ],
    "store": {"degraded": None, "oldest_unsent": 9_000.0, "bytes": 4_096_000, "commits": 3, "retries": 0},
    "incidents": [
        {"state": "open", "severity": "high", "count": 2},
        {"state": "resolved", "severity": "high", "count": 5},
    ],
}


def test_it_says_where_the_monitor_stands() -> None:
    text = "\n".join(page(STATUS))
    for words in (
        "exposure-monitor 1 on web1  watching, up 2 h",
        "12.3 MB/s now, 5.0 GB since the start, 1,796 rules, 1 threads at work, 1.0% of a core in all",
        "5 notifications wait, the oldest for 16 min; 2 open incidents; database 4.1 MB",
        "sinks: sink chat refuses everything",
        "the engine failed on 2 blocks",
        "app: and 2 more",
        "1.5 KB/s  2.0 MB  4.2 s  10 s ago  3 files, restarted 2 times",
        "refuses everything: HTTP 403",
        "1 failures in a row: no answer",
        "/big.log   app     2.0 MB  2 min",
        "7 bytes and more  10 min ago  several places",
        "7.20 s, 10.0%  4,000  0",
    ):
        assert words in text, text
    assert "r8" not in text
    assert "\x1b" not in text


def test_without_a_daemon_it_shows_what_the_database_says() -> None:
    status = copy.deepcopy(STATUS)
    status |= {"daemon": None, "scan": None, "rules": [], "note": "no daemon answers on 127.0.0.1:1 (refused)"}
    status["store"]["degraded"] = "there is no database"
    unknown = dict.fromkeys(("sent", "failed", "failing", "refusing", "last_success", "last_error"))
    status["sinks"] = [sink | unknown for sink in status["sinks"]]
    status["sources"][0] |= {"bytes_per_second": None, "restarts": None, "read_up_to": 9_000.0, "position": "a journal"}
    text = "\n".join(page(status))
    for words in (
        "no daemon answers on 127.0.0.1:1",
        "store: there is no database",
        "not known",
        "a journal of 16 min",
    ):
        assert words in text, text


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (123_456_789, "123 MB"), (5e12, "5.0 TB")]
)
def test_amounts_have_three_digits(count: float, shown: str) -> None:
    status = copy.deepcopy(STATUS)
    status["store"]["bytes"] = count
    assert f"database {shown}" in "\n".join(page(status))
