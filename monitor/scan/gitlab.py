"""Findings as GitLab's report of secret detection (15.0), which its merge requests and pipelines show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from monitor.common.text import clean

if TYPE_CHECKING:
    from monitor.scan.search import Hit

__all__ = ["document"]

VERSION = "15.0.6"
_LONGEST = 255  # characters of a name
_NO_COMMIT = "0000000"  # as its own analyzers write where they look at files


def document(
    hits: Sequence[Hit], problems: Iterable[tuple[str, str]], version: str, began: float, ended: float
) -> dict[str, Any]:
    """`problems` are (path, what could not be read); times are seconds of the epoch. The excerpt of the source that the
    format has room for is left out: it is meant to be read unmasked."""
    ours = {
        "id": "exposure-monitor",
        "name": "Exposure monitor",
        "version": version,
        "vendor": {"name": "Exposure monitor"},
    }
    messages = [{"level": "warn", "value": clean(f"{path}: {message}")} for path, message in problems]
    return {
        "version": VERSION,
        "scan": {
            "analyzer": ours,
            "scanner": ours,
            "type": "secret_detection",
            "start_time": _moment(began),
            "end_time": _moment(ended),
            "status": "success",
            "messages": messages,
        },
        "vulnerabilities": [_vulnerability(hit) for hit in hits],
    }


def _vulnerability(hit: Hit) -> dict[str, Any]:
    finding = hit.finding
    return {
        "id": finding.id,
        "name": finding.name[:_LONGEST],
        "description": f"{finding.name}: {finding.masked} ({finding.confidence} confidence)",
        "severity": finding.severity.capitalize(),
        "identifiers": [
            {"type": "exposure_monitor_rule", "name": f"Exposure monitor {finding.rule}", "value": finding.rule}
        ],
        "location": {
            "file": clean(finding.path),
            "commit": _commit(hit),
            "start_line": finding.line,
            "end_line": hit.end[0],
        },
    }


def _commit(hit: Hit) -> dict[str, str]:
    first = (hit.git or {}).get("first")
    if first is None:
        return {"sha": _NO_COMMIT}
    return {"sha": first["commit"], "author": f"{first['author']} <{first['email']}>", "date": first["date"]}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
