from __future__ import annotations

import io
from dataclasses import replace

from detectors.match.engine import Engine
from monitor.scan.gitlab import document
from monitor.scan.run import scan_stream
from monitor.scan.search import ScanOptions
from tests.monitor.scan.test_sarif import Token


def test_a_report_names_the_commit_where_there_is_one_and_no_value(engine: Engine, token: Token) -> None:
    """tests/test_ci.py holds it against what GitLab asks of it."""
    stream = io.BytesIO(f"x\n{token(1)}\n".encode())
    (hit,) = [hit for outcome in scan_stream("a\udcff", stream, engine, ScanOptions(b"k" * 32)) for hit in outcome.hits]
    first = {"commit": "ab" * 20, "author": "Ann", "email": "a@b", "date": "2026-01-02T03:04:05Z"}
    made = document([hit, replace(hit, git={"first": first})], [("b\udcff", "damaged")], "1.2", 0.0, 61.5)
    assert made["scan"]["start_time"] == "1970-01-01T00:00:00"
    assert made["scan"]["end_time"] == "1970-01-01T00:01:01"
    assert made["scan"]["messages"] == [{"level": "warn", "value": "b\\udcff: damaged"}]
    alone, brought = made["vulnerabilities"]
    assert alone["location"] == {"file": "a\\udcff", "commit": {"sha": "0000000"}, "start_line": 2, "end_line": 2}
    assert brought["location"]["commit"] == {"sha": "ab" * 20, "author": "Ann <a@b>", "date": first["date"]}
    assert (brought["severity"], brought["identifiers"][0]["value"]) == ("Critical", "github-pat")
    assert token(1)[8:] not in str(made)
