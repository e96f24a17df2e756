"""What a configuration names that has another name now, or is no more: rules that went. It works on; this says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from detectors.rules.gone import GONE
from monitor.config.config import Config
from monitor.routing.match import Matcher

__all__ = ["Outdated", "matchers", "outdated"]


class Outdated(NamedTuple):
    """`key`: where it stands. `heir`: the rule that this goes by now; empty where it does nothing any more."""

    key: str
    rule: str
    heir: str
    message: str


def outdated(config: Config, own: Iterable[str] = ()) -> Iterator[Outdated]:
    """`own`: ids of the rules in the configuration's own files."""
    places = [(f"rules.disable[{place}]", rule_id) for place, rule_id in enumerate(config.rules.disable)]
    places += [
        (key, matcher.value)
        for key, matcher in matchers(config)
        if matcher.label == "rule" and matcher.op in ("=", "!=")
    ]
    places += [
        (f"actions[{index}].rules[{place}]", rule_id)
        for index, action in enumerate(config.actions)
        for place, rule_id in enumerate(action.rules)
    ]
    places += [("rules.paths", rule_id) for rule_id in own]
    for key, rule_id in places:
        if (gone := GONE.get(rule_id)) is not None and (gone.heir or key != "rules.paths"):
            yield Outdated(key, rule_id, gone.heir, _message(rule_id, gone.heir, gone.instead, key))


def _message(rule_id: str, heir: str, instead: str, key: str) -> str:
    if key == "rules.paths":
        return f"{rule_id} takes the place of {heir}, as that rule is named now; give yours this id"
    if heir:
        return f"the rule {rule_id} is named {heir} now, and this goes by it; write {heir}"
    rest = f"; {instead} finds what it found, among others" if instead else ""
    left = "does nothing any more" if key.startswith("rules.") else "is about incidents alone that it made"
    return f"the rule {rule_id} is no more{rest}; this {left}"


def matchers(config: Config) -> Iterator[tuple[str, Matcher]]:
    """Each with its place."""
    for table in ("routes", "silences", "inhibitions", "escalation", "actions"):
        for index, row in enumerate(getattr(config, table)):
            for name, value in row:
                for place, matcher in enumerate(value if isinstance(value, tuple) else ()):
                    if isinstance(matcher, Matcher):
                        yield f"{table}[{index}].{name}[{place}]", matcher
    judged = {"verify": config.verify.matchers}
    judged |= {f"verify.severities[{index}]": one.matchers for index, one in enumerate(config.verify.severities)}
    for key, tests in judged.items():
        yield from ((f"{key}.matchers[{place}]", matcher) for place, matcher in enumerate(tests))
