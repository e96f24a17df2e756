"""`monitor rules diff`: which rules are other ones than they were, and what that means here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import ConfigOption, fail, fail_if, printable, read_config, with_store
from monitor.cli.kit import MOST, FormatOption, emit, table
from monitor.common.text import veiled

if TYPE_CHECKING:
    from detectors.rules.history import RuleChange, RuleEntry
    from detectors.rules.rule import Rule
    from monitor.config.config import Config
    from monitor.domain.incidents import Incident

__all__ = ["diff"]


def diff(
    since: Annotated[
        str,
        typer.Option(
            metavar="VERSION", help="A release, a day (2026-11-27: as it ended, UTC), or a commit that changed rules."
        ),
    ],
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from detectors.rules import history
    from monitor.common.wording import moment

    marks = history.read()
    try:
        mark = history.since(since, marks)
    except history.VersionError as error:
        fail(f"--since {printable(veiled(since))}: {error}", 2)
    settings = read_config(config, foreign=True, store_only="look")
    changes = history.changes(mark.rules, history.now())
    rows = [*map(_rule, changes), *_here(settings, mark.rules, changes)]

    def text(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        yield f"since {moment(mark.at)}, commit {mark.commit}: {_counts(changes)}"
        yield from _text(rows)

    emit(rows, form, text)
    fail_if(any(row["about"] != "rule" for row in rows))


def _counts(changes: Sequence[RuleChange]) -> str:
    kinds = [change.kind for change in changes]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)) or "no rule is different"


def _rule(change: RuleChange) -> dict[str, Any]:
    before, now = change.before, change.now
    return {
        "about": "rule",
        "rule": change.rule,
        "change": change.kind,
        "heir": change.heir or None,
        "instead": change.instead or None,
        "before": _entry(before),
        "now": _entry(now),
        "finds_other": before is not None and now is not None and before.finds != now.finds,
    }


def _entry(entry: RuleEntry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {"pack": entry.pack, "severity": entry.severity, "confidence": entry.confidence, "on": entry.on}


def _here(settings: Config, before: Mapping[str, RuleEntry], changes: Sequence[RuleChange]) -> Iterator[dict[str, Any]]:
    """Settings and open incidents that a change concerns."""
    from monitor.config.outdated import outdated
    from monitor.site import read_rules

    rules = {rule.id: rule for rule in read_rules(settings)}
    for one in outdated(settings, [rule.id for rule in rules.values() if rule.family == "custom"]):
        yield {"about": "setting", "key": one.key, "rule": one.rule, "heir": one.heir or None, "effect": one.message}
    asked = {rule_id for rule_id, entry in before.items() if _asked(entry, settings)} - {*settings.rules.disable}
    effects = dict(_effects(changes, rules, asked))
    for incident in _incidents(settings, effects):
        effect, level = effects[incident.rule]
        yield {
            "about": "incident",
            "id": incident.id,
            "rule": incident.rule,
            "severity": incident.severity,
            "confidence": incident.confidence,
            "effect": effect,
            "level": level,
        }


def _asked(entry: RuleEntry, settings: Config) -> bool:
    """Whether the configuration asked for it then."""
    family = entry.pack.partition("/")[0]
    return any(name in (family, entry.pack) or (name == "default" and entry.on) for name in settings.rules.packs)


def _effects(
    changes: Iterable[RuleChange], rules: Mapping[str, Rule], asked: Collection[str]
) -> Iterator[tuple[str, tuple[str, dict[str, Any] | None]]]:
    """What incidents of a rule have of its change, and the level that it finds at now where that is another."""
    for change in changes:
        if change.before is None or change.rule not in asked:
            continue
        rule = rules.get(change.heir or change.rule)
        level = None if rule is None else {"severity": rule.severity, "confidence": rule.confidence}
        before = {"severity": change.before.severity, "confidence": change.before.confidence}
        if change.kind == "gone":
            yield change.rule, (f"its rule is gone; {change.instead or 'none'} finds what it found", None)
        elif rule is None:
            pack = change.now.pack.partition("/")[0] if change.now is not None else "-"
            yield change.rule, (f"its rule is off, in the pack {pack}: only another rule may see it again", None)
        elif rule is not None and rule.family != "custom" and level != before:
            yield change.rule, (f"new findings are {rule.severity}, with {rule.confidence} confidence", level)


def _incidents(settings: Config, rules: Collection[str]) -> list[Incident]:
    """Those of these rules that are not resolved."""
    if not rules:
        return []
    return with_store(
        settings,
        lambda store: store.incidents.find(states=["open", "acknowledged"], rules=rules, limit=MOST),
        missing=lambda: [],
    )


def _text(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    about = {kind: [row for row in rows if row["about"] == kind] for kind in ("rule", "setting", "incident")}
    if about["rule"]:
        cells = [
            (row["change"], row["rule"], _cell(row["before"]), _cell(row["now"]), _more(row)) for row in about["rule"]
        ]
        yield from table(("change", "rule", "before", "now", "more"), cells)
    if about["setting"]:
        yield ""
        yield from (printable(f"{row['key']}: {row['effect']}") for row in about["setting"])
    yield from (
        "",
        f"{len(about['incident']) or 'no'} open incidents are concerned",
    )
    if about["incident"]:
        yield from table(
            ("id", "severity", "confidence", "rule", "effect"),
            [[row[key] for key in ("id", "severity", "confidence", "rule", "effect")] for row in about["incident"]],
        )


def _cell(entry: Mapping[str, Any] | None) -> str:
    return f"{entry['pack']} {entry['severity']}/{entry['confidence']}" if entry else "-"


def _more(row: Mapping[str, Any]) -> str:
    now = row["now"]
    parts = [
        f"is {row['heir']} now" if row["heir"] else "",
        f"{row['instead']} finds what it found" if row["instead"] else "",
        "off by default" if now and not now["on"] else "",
        "other pattern or filters" if row["finds_other"] else "",
    ]
    return ", ".join(filter(None, parts))
