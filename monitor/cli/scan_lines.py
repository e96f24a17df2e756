"""How a finding of `monitor scan` is printed: as text for people, as an object for scripts."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from monitor.cli.common import json_text, paint, printable, severity_colour

if TYPE_CHECKING:
    from monitor.scan.search import Hit

__all__ = ["annotation", "as_dict", "print_annotation", "print_json", "print_text"]

_LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "notice", "info": "notice"}
_NAMED = 5  # branches and tags that are named to people


def as_dict(hit: Hit) -> dict[str, Any]:
    from monitor.common.text import clean

    finding = hit.finding
    row: dict[str, Any] = {
        "path": clean(finding.path),
        "line": finding.line,
        "column": finding.column,
        "rule": finding.rule,
        "severity": finding.severity,
        "fingerprint": finding.fingerprint,
        "masked": finding.masked,
        "name": finding.name,
        "confidence": finding.confidence,
        "decode": list(finding.decode),
        "labels": {key: clean(value) for key, value in finding.labels.items()},
    }
    return row if hit.git is None else {**row, "git": hit.git}


def print_json(hit: Hit) -> None:
    sys.stdout.write(json_text(as_dict(hit)) + "\n")


def print_annotation(hit: Hit) -> None:
    finding = hit.finding
    came = f" ({_came(hit.git)})" if hit.git is not None else ""
    message = f"{finding.path}:{finding.line}: {finding.name} [{finding.rule}] {finding.masked}{came}"
    file, line = finding.path.removeprefix("./"), finding.line or 1
    text = annotation(_LEVELS[finding.severity], message, file=file, line=line, title=finding.name)
    sys.stdout.write(f"{text}\n")


def annotation(level: str, message: str, **properties: str | int) -> str:
    """A command to the runner of GitHub Actions, in which no text from outside can begin another one."""
    pairs = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    return f"::{level} {pairs}::{_data(message)}"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def print_text(hit: Hit) -> None:
    finding = hit.finding
    colour = severity_colour(finding.severity)
    where = paint(f"{printable(finding.path)}:{finding.line}:{finding.column}", bold=True)
    shown = printable(finding.masked if hit.revealed is None else hit.revealed)
    facts = [f"{finding.confidence} confidence"] if finding.confidence != "high" else []
    facts += [f"inside {' in '.join(reversed(finding.decode))}"] if finding.decode else []
    facts += [f"{key}={value}" for key, value in finding.labels.items() if key != "hashed_token"]
    tail = paint(f" ({printable(', '.join(facts))})", dim=True) if facts else ""
    what = f"{printable(finding.name)} [{finding.rule}]"
    sys.stdout.write(f"{where}: {paint(finding.severity, colour, bold=True)}: {what} {shown}{tail}\n")
    if finding.context is not None:
        before, there, after = finding.context.partition(finding.masked)
        sys.stdout.write(f"    {before}{paint(shown, colour, bold=True) if there else ''}{after}\n")
    if hit.git is not None:
        sys.stdout.write(f"    {printable(_came(hit.git))}\n")


def _came(git: Mapping[str, Any]) -> str:
    """In words, when it came in and where it is still."""
    first, last, commits = git["first"], git["last"], git["commits"]
    parts = ["in a content that no readable commit names"]
    if first is not None:
        parts = [f"commit {first['commit'][:12]} of {first['date'][:10]} by {first['author']} <{first['email']}>"]
        if commits > 1:
            parts.append(f"in {commits} commits, the last {last['commit'][:12]} of {last['date'][:10]}")
    if "in_head" in git:
        parts.append("still in HEAD" if git["in_head"] else "no longer in HEAD")
        local = [*git["branches"], *git["tags"]]
        more = f" and {len(local) - _NAMED} more" if len(local) > _NAMED else ""
        parts.append(f"in {', '.join(local[:_NAMED])}{more}" if local else "in no branch or tag")
        parts.append(f"on a remote ({git['remotes'][0]})" if git["remotes"] else "on no known remote")
        parts += [f"owner {git['owner']}"] if git["owner"] else []
    return "; ".join(parts)
