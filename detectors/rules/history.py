"""Which rules there were when: a file of every change of the shipped packs, and what is different now.

`make rules-history` makes it from git, which an installed monitor has not. It lies beside this file; what is now the
packs themselves say. Of a rule it keeps pack, severity, confidence, and a digest of all that decides what is found.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from detectors.rules import packs
from detectors.rules.gone import GONE
from detectors.rules.load import OFF_BY_DEFAULT
from detectors.rules.rule import Confidence
from monitor.common.severity import SEVERITIES, Severity

__all__ = [
    "FILE",
    "Mark",
    "RuleChange",
    "RuleEntry",
    "Rules",
    "VersionError",
    "changes",
    "compose",
    "now",
    "read",
    "since",
]

FILE = Path(__file__).with_suffix(".txt")
HEAD = "# Made by `make rules-history`: `=` for each change of the packs (when, commit, versions), then what changed."
_CONFIDENCES: tuple[Confidence, ...] = get_args(Confidence)
_LEVEL = ("severity", "confidence")
_BESIDE = {"id", "name", *_LEVEL, "labels", "runbook", "trigger", "examples", "negative_examples", "references"}
_WIDE = "wide"  # a pack of generic rules, off by default, that there was until 30 November 2026
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
Kind = Literal["gone", "renamed", "moved", "changed", "added"]


class RuleEntry(NamedTuple):
    """A rule as it was. `pack`: as [rules] packs names its file. `finds`: the digest of what decides what is found."""

    pack: str
    severity: Severity
    confidence: Confidence
    finds: str

    @property
    def on(self) -> bool:
        """Whether it is on by default."""
        return self.pack.partition("/")[0] not in (*OFF_BY_DEFAULT, _WIDE)


Rules = Mapping[str, RuleEntry]


class Mark(NamedTuple):
    """The rules after a change. `versions`: those released with them."""

    at: datetime
    commit: str
    versions: tuple[str, ...]
    rules: Rules


class RuleChange(NamedTuple):
    """Of one rule, between then and now. `heir`: the id it has now, where that is another. `instead`: where it has
    none, the broader rule that finds what it found."""

    rule: str
    kind: Kind
    before: RuleEntry | None
    now: RuleEntry | None
    heir: str = ""
    instead: str = ""


class VersionError(LookupError):
    """There is no such version; the message says which there are."""


def entries(pack: str, tables: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, RuleEntry]]:
    """Of the tables of a pack file, as they stand there; defaults as in packfile.to_rule."""
    by_name = pack.partition("/")[0] in ("generic", _WIDE)
    for table in tables:
        sure: Confidence = table.get("confidence") or ("medium" if by_name or "value" in table else "high")
        decides = repr(sorted((key, value) for key, value in table.items() if key not in _BESIDE))
        yield table["id"], RuleEntry(pack, table["severity"], sure, hashlib.sha256(decides.encode()).hexdigest()[:6])


def now() -> dict[str, RuleEntry]:
    """The rules of all packs that we ship, on or off."""
    found: dict[str, RuleEntry] = {}
    for pack, text in packs.texts().items():
        found.update(entries(pack, tomllib.loads(text.decode()).get("rule", [])))
    return found


def compose(marks: Iterable[Mark]) -> str:
    """The file that `read` reads."""
    lines, before = [HEAD], dict[str, RuleEntry]()
    for mark in marks:
        lines.append(" ".join(("=", f"{mark.at:%Y-%m-%dT%H:%M:%SZ}", mark.commit, *mark.versions)))
        lines += [f"- {rule_id}" for rule_id in sorted(before.keys() - mark.rules.keys())]
        for rule_id, entry in sorted(mark.rules.items()):
            if before.get(rule_id) != entry:
                level = f"{SEVERITIES.index(entry.severity)}{_CONFIDENCES.index(entry.confidence)}"
                lines.append(f"{rule_id} {entry.pack} {level} {entry.finds}")
        before = dict(mark.rules)
    return "\n".join(lines) + "\n"


def read(text: str | None = None) -> list[Mark]:
    """Every mark of the file, the oldest first."""
    marks: list[Mark] = []
    rules: dict[str, RuleEntry] = {}
    for line in (FILE.read_text(encoding="utf-8") if text is None else text).splitlines()[1:]:
        first, *rest = line.split(" ")
        if first == "=":
            at, commit, *versions = rest
            rules = dict(rules)
            marks.append(Mark(datetime.fromisoformat(at), commit, tuple(versions), rules))
        elif first == "-":
            del rules[rest[0]]
        else:
            pack, level, finds = rest
            rules[first] = RuleEntry(pack, SEVERITIES[int(level[0])], _CONFIDENCES[int(level[1])], finds)
    return marks


def since(version: str, marks: Iterable[Mark]) -> Mark:
    """The rules of a released version, of a commit that changed rules, or as a day ended. Raises VersionError."""
    known = list(marks)
    if _COMMIT.fullmatch(version):
        found = [mark for mark in known if mark.commit.startswith(version[: len(mark.commit)])]
    elif (end := _moment(version)) is not None:
        found = [mark for mark in known if mark.at <= end][-1:]
    else:
        found = [mark for mark in known if version.removeprefix("v") in mark.versions]
    if len(found) == 1:
        return found[0]
    days = {mark.at.date(): mark for mark in known}  # the last one of each
    released = [name for mark in known for name in mark.versions]
    raise VersionError(
        f"no rules are known of that version. There are {', '.join(released) if released else 'no releases yet'}; "
        f"days from {min(days)} on, as they ended (UTC); and commits that changed rules, such as the last of each day: "
        + ", ".join(f"{mark.commit[:8]} ({day})" for day, mark in sorted(days.items())[-8:])
    )


def _moment(text: str) -> datetime | None:
    try:
        if len(text) == len("2026-11-30"):
            return datetime.combine(date.fromisoformat(text), datetime.max.time(), UTC)
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def changes(before: Rules, after: Rules) -> list[RuleChange]:
    """What is different, by kind and id. A rule that moved or has another name may also find otherwise."""
    out, heirs = [], set()
    for rule_id in before.keys() - after.keys():
        gone = GONE.get(rule_id)
        if gone is None or not gone.heir:
            out.append(RuleChange(rule_id, "gone", before[rule_id], None, instead=gone.instead if gone else ""))
        else:
            heirs.add(gone.heir)
            out.append(RuleChange(rule_id, "renamed", before[rule_id], after.get(gone.heir), gone.heir))
    out += [RuleChange(new, "added", None, after[new]) for new in after.keys() - before.keys() - heirs]
    for rule_id in after.keys() & before.keys():
        was, is_now = before[rule_id], after[rule_id]
        if was != is_now:
            out.append(RuleChange(rule_id, "moved" if was.pack != is_now.pack else "changed", was, is_now))
    order = get_args(Kind)
    return sorted(out, key=lambda change: (order.index(change.kind), change.rule))
