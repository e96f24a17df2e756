"""The audit as documents: Markdown for an auditor, SARIF 2.1.0 for code hosts, rows for scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from monitor.audit.check import Evidence, Judged
from monitor.common.text import clean, printable

__all__ = ["markdown", "row", "sarif", "summary"]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def row(judged: Judged) -> dict[str, Any]:
    """An item as JSON."""
    return {
        "id": judged.id,
        "title": judged.title,
        "verdict": judged.verdict,
        "waived": judged.accepted,
        "evidence": [
            {
                "verdict": result.verdict,
                "text": result.text,
                "path": result.path or None,
                "line": result.line,
                "repeat": result.repeat or None,
                "waiver": None
                if result.waiver is None
                else {"reason": result.waiver.reason, "expires": result.waiver.expires.isoformat()},
            }
            for result in judged.evidence
        ],
        "left_out": judged.left_out,
        "expired_waivers": [
            {"reason": result.reason, "expires": result.expires.isoformat()} for result in judged.expired
        ],
        "remedy": judged.remedy,
    }


def summary(items: Sequence[Judged]) -> str:
    """`9 pass, 3 fail (1 waived), 2 unknown`."""
    counts = {name: sum(one.verdict == name for one in items) for name in ("pass", "fail", "unknown")}
    waived = sum(one.accepted for one in items)
    fails = f"{counts['fail']} fail" + (f" ({waived} waived)" if waived else "")
    return f"{counts['pass']} pass, {fails}, {counts['unknown']} unknown"


def markdown(items: Sequence[Judged], now: float, version: str, paths: Sequence[str]) -> str:
    """A page for auditors: the table, then each item with its evidence and the commands that give it again."""
    return "\n".join(_page(items, now, version, paths)) + "\n"


def _page(items: Sequence[Judged], now: float, version: str, paths: Sequence[str]) -> Iterator[str]:
    yield from (
        "# Audit of secrets",
        "",
        f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC, exposure-monitor {version}: {summary(items)}.",
        f"Looked at: {', '.join(map(_code, paths)) or 'no folder'}.",
        "No value of a secret stands in this page; `[rule] abcd…[40]` is a masked preview with the length.",
        "",
        "| item | verdict | |",
        "| --- | --- | --- |",
    )
    for item in items:
        yield f"| [{_prose(item.title)}](#{item.id}) | {_verdict(item)} | `{item.id}` |"
    for item in items:
        yield from (
            "",
            f'## <a id="{item.id}"></a>{_prose(item.title)}',
            "",
            f"**{_verdict(item)}**" + (f" {item.remedy}" if item.verdict == "fail" else ""),
        )
        for waiver in item.expired:
            yield from (
                "",
                f"A waiver expired on {waiver.expires}: {_prose(waiver.reason)}",
            )
        if item.evidence:
            yield from (
                "",
                "| | evidence | seen again with |",
                "| --- | --- | --- |",
            )
        for piece in item.evidence:
            yield f"| {piece.verdict} | {_prose(piece.text)}{_waiver(piece)} | {_code(piece.repeat)} |"
        if item.left_out:
            yield from (
                "",
                f"{item.left_out:,} more pieces of evidence are not listed.",
            )


def _verdict(one: Judged) -> str:
    return "fail, waived" if one.accepted else one.verdict


def _waiver(piece: Evidence) -> str:
    return f" Waived until {piece.waiver.expires}: {_prose(piece.waiver.reason)}" if piece.waiver else ""


def _prose(text: str) -> str:
    """Foreign text that is neither markup nor HTML, nor the end of a table's cell."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&])", r"\\\1", printable(text))


def _code(text: str) -> str:
    """A code span, with more backticks around it than stand in it; GitHub's tables want a bar escaped there, too."""
    if not text:
        return ""
    text = printable(text)
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|")


def sarif(items: Sequence[Judged], version: str) -> dict[str, Any]:
    """Each failure a result, a waiver its suppression; what could not be told a result of kind `review`."""
    rules = [
        {
            "id": entry.id,
            "name": entry.title,
            "shortDescription": {"text": entry.title},
            "help": {"text": entry.remedy},
            "defaultConfiguration": {"level": "error"},
        }
        for entry in items
    ]
    results = [_result(entry.id, number, piece) for number, entry in enumerate(items) for piece in _told(entry)]
    notes = [
        {
            "level": "warning",
            "message": {"text": f"{entry.id}: {entry.left_out} more pieces of evidence are not listed"},
        }
        for entry in items
        if entry.left_out
    ]
    driver = {"name": "exposure-monitor audit", "version": version, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notes}],
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _told(item: Judged) -> Iterator[Evidence]:
    """Of an item that passes one line is enough."""
    yield from (one for one in item.evidence if one.verdict != "pass") if item.verdict != "pass" else item.evidence[:1]


_KIND = {"fail": "fail", "unknown": "review", "pass": "pass"}


def _result(item: str, index: int, piece: Evidence) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": item,
        "ruleIndex": index,
        "kind": _KIND[piece.verdict],
        "level": "error" if piece.verdict == "fail" else "none",
        "message": {"text": clean(piece.text)},
    }
    if piece.path:
        file, mark, member = clean(piece.path).partition("!")
        inner = "/".join(part for part in member.split("/") if part not in ("", ".", ".."))
        uri = quote(file) + mark + quote(inner)
        location: dict[str, Any] = {"artifactLocation": {"uri": f"file://{uri}" if uri.startswith("/") else uri}}
        if piece.line is not None:
            location["region"] = {"startLine": piece.line}
        result["locations"] = [{"physicalLocation": location}]
    if piece.repeat:
        result["properties"] = {"repeat": clean(piece.repeat)}
    if piece.waiver is not None:
        reason = f"{piece.waiver.reason} (until {piece.waiver.expires})"
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": reason}]
    return result
