"""What the address of the list asks for: filters, order and page. The address is all there is: it can be sent on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, get_args
from urllib.parse import urlencode

from detectors.rules.load import builtin_families, rule_families
from monitor.common.duration import parse_duration
from monitor.common.notification import State
from monitor.common.severity import SEVERITIES
from monitor.common.text import printable
from monitor.domain.incidents import Validity
from monitor.store.incidents import Filter, Order

__all__ = ["CHOICES", "TEXTS", "ListQuery"]

_STATES: Mapping[str, tuple[State, ...]] = {"unresolved": ("open", "acknowledged"), "all": ()}
CUSTOM = "custom"  # the family of rules of one's own
_NONE = ""  # no rule has this id
_CONFIDENCES = ("low", "medium", "high")
_DRILLS = {"hidden": False, "only": True}

# By parameter what it may say; the first says nothing. Then those that say anything, with what they are called.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "state": ("unresolved", *get_args(State), "all"),
    "severity": ("", *SEVERITIES[::-1]),
    "confidence": ("", *_CONFIDENCES[::-1]),
    "works": ("", *get_args(Validity)),
    "drill": ("", *_DRILLS),
    "family": ("", *builtin_families(), CUSTOM),
    "sort": ("urgent", "recent"),
}
TEXTS: Mapping[str, str] = {
    "q": "name, path, masked text, id",
    "owner": "owner",
    "host": "host",
    "service": "service",
    "source": "source",
    "rule": "rule",
    "told": "id of a message",
    "since": "last seen within, such as 24h",
    "older": "first seen before, such as 7d ago",
    "younger": "first seen within, such as 1h",
}
_AGES = {"since", "older", "younger"}
_WORDS = {"severity": "severity ≥ {}", "confidence": "confidence ≥ {}", "q": "search ~ {}", "since": "seen within {}",
          "older": "older than {}", "younger": "younger than {}", "told": "in message {}"}  # fmt: skip
_LONGEST = 200  # characters of a parameter


@dataclass(frozen=True, slots=True)
class ListQuery:
    """`said`: parameters that say something; `after`: where the list goes on."""

    said: Mapping[str, str]
    after: str = ""

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> ListQuery:
        """Raises ValueError, whose text names the parameter."""
        said = {name: printable(text.strip()) for name, text in parameters.items()}
        for name, text in said.items():
            if name not in (*CHOICES, *TEXTS, "after"):
                raise ValueError(f"nothing is asked for by {name[:40]!r}: there are {', '.join((*CHOICES, *TEXTS))}")
            if name in CHOICES and text and text not in CHOICES[name]:
                raise ValueError(f"{name}: has to be one of {', '.join(filter(None, CHOICES[name]))}")
            if len(text) > _LONGEST:
                raise ValueError(f"{name}: at most {_LONGEST} characters")
        after = said.pop("after", "")
        query = cls({name: text for name, text in said.items() if text and text != CHOICES.get(name, ("",))[0]}, after)
        for name in _AGES & query.said.keys():
            try:
                parse_duration(query.said[name])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return query

    @property
    def order(self) -> Order:
        return "recent" if self.said.get("sort") == "recent" else "urgent"

    def filters(self, now: float, names: Callable[[str], Sequence[str]]) -> Filter:
        """`now`: seconds since the epoch; `names`: of a rule, also those that it had."""
        said = self.said

        def ago(name: str) -> float | None:
            return now - parse_duration(said[name]) if name in said else None

        state = said.get("state", "unresolved")
        out = {
            "states": _STATES.get(state, (state,)),
            "severities": _from(said.get("severity"), SEVERITIES),
            "confidences": _from(said.get("confidence"), _CONFIDENCES),
            **_rules(said.get("family"), names(said["rule"]) if "rule" in said else ()),
            "since": ago("since"),
            "first_before": ago("older"),
            "first_since": ago("younger"),
            "drill": _DRILLS.get(said.get("drill", "")),
            "validity": said.get("works"),
            "search": said.get("q"),
        }
        return cast(Filter, out | {name: said.get(name) for name in ("owner", "host", "service", "source", "told")})

    @property
    def chips(self) -> list[tuple[str, str]]:
        """What each parameter asks for, in words, and the address without it."""
        return [
            (_WORDS.get(name, f"{name} = {{}}").format(text), self.without(name).address())
            for name, text in self.said.items()
            if name != "sort"
        ]

    @property
    def narrows(self) -> bool:
        """Whether it is of less than all that are unresolved."""
        return any(name != "sort" and (name, text) != ("state", "all") for name, text in self.said.items())

    def behind(self, after: str) -> ListQuery:
        return replace(self, after=after)

    def without(self, name: str) -> ListQuery:
        """The first page of what is asked for but by `name`."""
        return ListQuery({key: text for key, text in self.said.items() if key != name})

    def address(self, path: str = "/incidents") -> str:
        asked = urlencode({**self.said, **({"after": self.after} if self.after else {})})
        return f"{path}?{asked}" if asked else path


def _rules(family: str | None, rules: Sequence[str]) -> dict[str, Sequence[str]]:
    """Rules that are asked for by their family, by their id, or by both."""
    shipped = rule_families() if family else {}
    if family == CUSTOM and not rules:
        return {"rules": (), "but_rules": [*shipped]}
    if not family:
        return {"rules": rules}
    fitting = [rule for rule in rules or shipped if shipped.get(rule, CUSTOM) == family]
    return {"rules": fitting or [_NONE]}


def _from(least: str | None, ascending: tuple[Any, ...]) -> tuple[Any, ...]:
    return ascending[ascending.index(least) :] if least else ()
