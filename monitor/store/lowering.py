"""Rules that people have lowered for a while: what they find opens no worse than was said. What an issuer says of a
secret, and a canary, are no less severe for it, and incidents that were there keep their severity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from detectors.rules.gone import names
from monitor.common.grouping import grouped
from monitor.common.severity import Severity, rank
from monitor.common.wording import stamp
from monitor.domain.model import Finding
from monitor.store.silences import SilenceRule, in_force
from monitor.store.transaction import Transaction

__all__ = ["about_rule", "by_rule", "lower", "lowered", "lowered_severity"]

_Found = Mapping[str, tuple[int, Finding]]


def by_rule(rules: Iterable[SilenceRule]) -> Mapping[str, Sequence[SilenceRule]]:
    """Those that are of one rule and of nothing beside, by the id that they name."""
    return grouped((rule, one) for one in rules if (rule := one.rule))


def about_rule(known: Mapping[str, Sequence[SilenceRule]], rule: str) -> list[SilenceRule]:
    """Of `by_rule` those that mean this rule, by an id that it has or had."""
    return [one for name in names(rule) for one in known.get(name, ())]


def lowered(rules: Iterable[SilenceRule], rule: str, now: float) -> SilenceRule | None:
    """By which of them the rule is lowered now, the furthest; None: it is not."""
    holding = by_rule(one for one in rules if one.severity is not None and one.starts <= now < one.ends)
    return min(about_rule(holding, rule), key=lambda one: rank(one.severity or "critical"), default=None)


def lowered_severity(tx: Transaction, rule: str, severity: Severity) -> Severity:
    """What a severity of the rule comes to now."""
    by = lowered(in_force(tx), rule, tx.now)
    return severity if by is None or by.severity is None else min(severity, by.severity, key=rank)


def lower(tx: Transaction, found: _Found) -> tuple[_Found, Mapping[str, str]]:
    """The findings, no worse than was said of their rules; and of each that is less severe for it, by whom and why."""
    holding = {rule: lowered(in_force(tx), rule, tx.now) for rule in {finding.rule for _, finding in found.values()}}
    if not any(holding.values()):
        return found, {}
    left, notes = dict(found), dict[str, str]()
    for id_, (number, finding) in found.items():
        by = holding[finding.rule]
        if by is not None and by.severity is not None and rank(by.severity) < rank(finding.severity):
            left[id_] = (number, replace(finding, severity=by.severity))
            notes[id_] = f"{finding.severity} lowered to {by.severity} by {by.by} until {stamp(by.ends)}: {by.reason}"
    return left, notes
