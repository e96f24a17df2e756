from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from pathlib import Path

from tests.monitor.cli.test_runbook import ONE, Command, stored

__all__ = ["stored"]


def test_the_timeline_and_the_document_of_an_incident(monitor: Command, stored: Path) -> None:
    assert monitor("incidents", "ack", "1111", "--note", "mine").returncode == 0
    assert monitor("runbook", "done", "1111", "revoke", "--note", "inactive").returncode == 0
    rows = [
        json.loads(line) for line in monitor("incidents", "timeline", "1111", "--format", "jsonl").stdout.splitlines()
    ]
    assert [row["what"] for row in rows] == [
        *("first read by the monitor", "incident opened", "runbook started", "acknowledged", "step revoke done"),
    ]
    assert rows[-1]["note"] == "inactive"
    last = monitor("incidents", "timeline", "1111").stdout.splitlines()[-1]
    assert re.match(r"[0-9]{4}-[0-9-]{5} [0-9:]{8} UTC +\S+ +step revoke done +inactive", last), last

    text = monitor("incidents", "report", "1111").stdout
    assert text.startswith(f"# Incident {ONE}: ")
    assert "## Regulator's clock" in text
    page = monitor("incidents", "report", "1111", "--as", "html").stdout
    assert page.startswith("<!doctype html>")
    assert "<svg" in page
    assert monitor("incidents", "report", "1111", "--as", "svg").stdout.startswith("<svg")
    row = json.loads(monitor("incidents", "report", "1111", "--as", "json").stdout)
    assert row["incident"] == ONE
    assert row["exposed_until"] is not None
    assert monitor("incidents", "report", "9999").returncode == 1


def test_an_edited_trail_is_found(monitor: Command, stored: Path) -> None:
    monitor("runbook", "done", "1111", "revoke", "--note", "inactive")
    answer = monitor("incidents", "verify")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.endswith(": whole\n")
    with contextlib.closing(sqlite3.connect(stored.parent / "state" / "state.db", isolation_level=None)) as database:
        database.execute("UPDATE audit SET note = 'deleted' WHERE note = 'inactive'")
    answer = monitor("incidents", "verify", "--format", "json")
    assert answer.returncode == 1
    verdict = json.loads(answer.stdout)
    assert verdict["whole"] is False
    assert [problem["incident"] for problem in verdict["problems"]] == [ONE]
    assert "NOT whole" in monitor("incidents", "verify").stdout
    answer = monitor("incidents", "verify", "--accept")
    assert (answer.returncode, "sealed anew as it is" in answer.stdout) == (0, True), answer.stderr
    answer = monitor("incidents", "verify")
    assert answer.returncode == 0
    assert "whole\nsealed since 20" in answer.stdout


def test_one_incident_is_silenced_for_a_while(monitor: Command, stored: Path) -> None:
    answer = monitor("incidents", "silence", "1111", "--for", "1h", "--note", "rotating", "--format", "json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["silenced_until"] is not None
    assert "is not silenced any more" in monitor("incidents", "silence", "1111", "--for", "0s").stdout
    assert monitor("incidents", "silence", "1111", "--for", "long").returncode == 2
    said = [row["what"] for row in json.loads(monitor("incidents", "timeline", "1111", "--format", "json").stdout)]
    assert said[-2:] == ["silenced", "silence ended"]
    assert monitor("incidents", "resolve", "1111", "--as", "false_positive").returncode == 0
    refused = monitor("incidents", "silence", "1111", "--for", "1h")
    assert refused.returncode == 1
    assert "is resolved: there is nothing to silence" in refused.stderr


def test_two_become_one(monitor: Command, stored: Path) -> None:
    answer = monitor("incidents", "merge", "1111", "2222", "--note", "one token", "--format", "json")
    assert answer.returncode == 0, answer.stderr
    row = json.loads(answer.stdout)
    assert (row["id"], row["occurrences"], row["merged_into"], len(row["locations"])) == (ONE, 2, None, 2)
    gone = json.loads(monitor("incidents", "show", "2222", "--format", "json").stdout)
    assert (gone["state"], gone["merged_into"]) == ("resolved", ONE)
    assert gone["history"][-1]["note"] == f"merged into incident {ONE}: one token"
    assert f"merged_into  {ONE}" in monitor("incidents", "show", "2222").stdout
    assert monitor("incidents", "verify").returncode == 0

    again = monitor("incidents", "merge", "1111", "2222")
    assert again.returncode == 1
    assert again.stderr == f"incident {'2' * 16} was merged into {ONE} already\n"
    assert monitor("incidents", "merge", "1111", "9999").returncode == 1
