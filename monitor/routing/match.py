"""What says which incidents are meant, in routes, silences, inhibitions, runbooks and actions: as in Alertmanager."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from detectors.rules.gone import names
from monitor.common.problems import suggest
from monitor.common.regex import RegexError, compile_text
from monitor.common.severity import SEVERITIES

__all__ = ["Matcher", "from_text"]

_T = TypeVar("_T")

_MATCHER = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# Labels of which every value is known.
_VALUES: Mapping[str, tuple[str, ...]] = {
    "severity": SEVERITIES,
    "confidence": ("high", "medium", "low"),
    "format": ("vendor", "keyword", "generic", "custom"),
    "state": ("open", "acknowledged", "resolved"),
}
_ESCAPES = {"n": "\n", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Matcher:
    """`label op "value"` with op one of = != =~ !~. A label that is missing equals the empty string.

    Regular expressions are RE2 and match the whole value. A rule is meant by each id that it has or had.
    """

    label: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str
    _regex: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Matcher:
        """Raises ValueError, which says what is wrong and how to write it."""
        found = _MATCHER.fullmatch(text)
        if not found:
            raise ValueError('not a matcher; write label="value" with one of = != =~ !~, such as severity="critical"')
        label, op, value = found.groups()
        if value.startswith('"'):
            quoted = _QUOTED.fullmatch(value)
            if not quoted:
                raise ValueError(f'the value of {label} is not closed by one quote; escape inner quotes as \\"')
            # In a regular expression a backslash belongs to the expression, but for the quote itself.
            if op in ("=~", "!~"):
                value = quoted[1].replace('\\"', '"')
            else:
                value = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), quoted[1], flags=re.DOTALL)
        elif value.startswith(("=", "~")):
            raise ValueError(f'{op}{value[0]} is no operator; write {label}="value" with one of = != =~ !~')
        elif '"' in value:
            raise ValueError(f'the value of {label} has a stray quote; write {label}{op}"value"')
        regex = None
        if op in ("=~", "!~"):
            try:
                regex = compile_text(value)
            except RegexError as error:
                raise ValueError(f"the regular expression of {label} is not valid RE2: {error}") from None
        return cls(label, op, value, regex)  # type: ignore[arg-type]  # the pattern admits only the four operators

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.label, "")
        hits = any(map(self._hits, names(value))) if self.label == "rule" else self._hits(value)
        return hits == (self.op in ("=", "=~"))

    def impossible(self) -> str | None:
        """Why it tells no incident from another: its label never has such a value. None: it may."""
        known = _VALUES.get(self.label)
        if known is None or not self.value or any(self._hits(value) for value in known):
            return None
        end = "never" if self.op in ("=", "=~") else "always"
        return f"{self.label} is one of {', '.join(known)}{suggest(self.value, known)}; this {end} matches"

    def _hits(self, value: str) -> bool:
        return self._regex.fullmatch(value) is not None if self._regex is not None else value == self.value

    def __str__(self) -> str:
        inner = self.value.replace('"', '\\"') if self._regex is not None else json.dumps(self.value)[1:-1]
        return f'{self.label}{self.op}"{inner}"'

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return from_text(cls, cls.parse, "a matcher is text, such as 'severity=\"critical\"'")


def from_text(kind: type[_T], parse: Callable[[str], _T], hint: str) -> CoreSchema:
    """How pydantic reads what is written as text: one of its `kind` is taken as it is."""

    def read(value: object) -> _T:
        if isinstance(value, kind):
            return value
        if not isinstance(value, str):
            raise ValueError(hint)
        return parse(value)

    return core_schema.no_info_plain_validator_function(
        read, serialization=core_schema.plain_serializer_function_ser_schema(str)
    )
