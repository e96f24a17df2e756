"""Findings as SARIF 2.1.0, which code hosts and editors read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from monitor.common.severity import rank
from monitor.common.text import clean

if TYPE_CHECKING:
    from detectors.rules.rule import Rule
    from monitor.scan.search import Hit

__all__ = ["document"]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MOST = 25_000  # results in a run: GitHub refuses a file with more in one, and takes 20 runs
_LEVEL = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "info": "note"}
_SCORE = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0", "info": "1.0"}  # GitHub's bands


def document(hits: Sequence[Hit], problems: Iterable[tuple[str, str]], version: str) -> dict[str, Any]:
    """Runs of at most MOST findings, the worst first where there are several. `problems` are (path, what could not be
    read).
    """
    if len(hits) > MOST:
        hits = sorted(hits, key=lambda hit: -rank(hit.finding.severity))
    parts = [hits[start : start + MOST] for start in range(0, len(hits), MOST)] or [[]]
    runs = [_run(part, problems if not number else (), version) for number, part in enumerate(parts)]
    if len(runs) > 1:
        for number, run in enumerate(runs, 1):
            # Else code hosts take one run for a newer version of another.
            run["automationDetails"] = {"id": f"exposure-monitor/part-{number}/"}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": runs}


def _run(hits: Sequence[Hit], problems: Iterable[tuple[str, str]], version: str) -> dict[str, Any]:
    rules = {hit.rule.id: hit.rule for hit in hits}
    index = {rule_id: number for number, rule_id in enumerate(rules)}
    driver = {"name": "exposure-monitor", "version": version, "rules": [_rule(rule) for rule in rules.values()]}
    notes = [
        {
            "level": "warning",
            "message": {"text": clean(message)},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(path)}}}],
        }
        for path, message in problems
    ]
    return {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notes}],
        "results": [_result(hit, index) for hit in hits],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.name},
        **({"helpUri": rule.references[0]} if rule.references else {}),
        "defaultConfiguration": {"level": _LEVEL[rule.severity]},
        "properties": {"security-severity": _SCORE[rule.severity], "tags": ["security", "secret", rule.family]},
    }


def _result(hit: Hit, index: Mapping[str, int]) -> dict[str, Any]:
    finding = hit.finding
    return {
        "ruleId": finding.rule,
        "ruleIndex": index[finding.rule],
        "level": _LEVEL[finding.severity],
        "message": {"text": f"{finding.name}: {finding.masked}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(finding.path)},
                    "region": {
                        "startLine": finding.line,
                        "startColumn": finding.column,
                        "endLine": hit.end[0],
                        "endColumn": hit.end[1],
                        "byteOffset": finding.offset,
                        "byteLength": hit.length,
                    },
                }
            }
        ],
        "partialFingerprints": {"exposureMonitor/v1": finding.fingerprint},
        "properties": {
            "severity": finding.severity,
            "confidence": finding.confidence,
            "security-severity": _SCORE[finding.severity],
            "masked": finding.masked,
            **({"decode": list(finding.decode)} if finding.decode else {}),
            **({"labels": dict(finding.labels)} if finding.labels else {}),
            **({"git": dict(hit.git)} if hit.git is not None else {}),
        },
    }


def _uri(path: str) -> str:
    """A relative or file: URI. The name of an archive's member may climb (`../..`); a link to it must not."""
    file, mark, member = path.partition("!")
    member = "/".join(part for part in member.split("/") if part not in ("", ".", ".."))
    text = quote(file.encode("utf-8", "surrogateescape")) + mark + quote(member.encode("utf-8", "surrogateescape"))
    if PurePosixPath(file).is_absolute():
        return f"file://{text}"
    return text.removeprefix("./")
