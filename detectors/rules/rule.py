"""Rules: what the engine looks for, and which of them a configuration asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Literal

from detectors.rules.pattern import PatternShape, shape
from detectors.rules.triggers import TRIGGERS
from monitor.common.severity import Severity

__all__ = [
    "Confidence",
    "Decoder",
    "Requires",
    "Rule",
    "RuleError",
    "bare",
    "suggest",
]

HINT_BACK, HINT_AHEAD = 256, 128  # bytes around the end of an assignment that keywords are looked for in
LONGEST = 48  # characters of a keyword that are looked for, without what parts its words
NAMED = "named-credential"  # the rule of the names that a configuration says hold secrets
Confidence = Literal["high", "medium", "low"]
Decoder = Literal["base64", "escape", "gzip", "hex", "html", "lines", "percent", "quoted", "table", "terminal", "utf16"]

# What may stand left of a token besides a non-word character: the tail of an escape, as logs are full of text inside
# JSON, URLs and terminals. `%3Dghp_…`: the D would hide the token from a plain \b.
LEFT = (
    r"(?:\b|%(?:25){0,2}[0-9A-Fa-f]{2}"
    r"|(?:\\|%5[Cc])(?:[abefnrtv]|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[0-7]{3})"
    r"|\x1b\[[0-9;]{0,9}[mK])"
)


class RuleError(ValueError):
    """Everything wrong with the rules read: `problems` are lines that name file, rule id and key or column."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Requires:
    """A companion that must stand nearby: another rule's match, or a pattern. `optional` raises confidence only."""

    rule: str | None = None
    pattern: str | None = None
    within: int = 512  # bytes before or after
    lines: int | None = None
    optional: bool = False


@dataclass(frozen=True)
class Rule:
    """One detection rule, ready to compile. `pattern` has `secret` as its first group."""

    id: str
    name: str
    pattern: str
    severity: Severity
    confidence: Confidence = "high"
    priority: int = 100  # where rules overlap on a span the highest wins
    family: str = "custom"
    vendor: str = ""
    source: str = ""  # file it came from
    trigger: str | None = None  # name in detectors.rules.triggers.TRIGGERS, or an expression
    entropy: float | None = None  # least Shannon entropy of the secret, bits a character
    digits: int = 0  # least number of digits in the secret
    checksum: str | None = None  # name in detectors.rules.checksums.CHECKS
    allow: tuple[str, ...] = ()  # RE2: a secret that matches one is no finding
    stopwords: tuple[str, ...] = ()  # nor one that contains one, in any case
    placeholders: bool = True  # reject `changeme`, `xxxx`, `${VAR}` and their kin
    hashes: bool = False  # True: reject what looks like a digest, commit or UUID
    words: bool = False  # True: reject names, paths and calls: what code says where a value could stand
    score: bool = False  # True: weigh value and context, which sets the confidence (detectors.match.score)
    requires: tuple[Requires, ...] = ()
    decode: tuple[str, ...] | None = None  # decoders its findings may come through, at any depth; None: all
    labels: Mapping[str, str] = field(default_factory=dict)
    runbook: str = "generic-secret"
    keywords: tuple[str, ...] = ()
    anywhere: tuple[str, ...] = ()  # of `keywords` those also looked for far from what ASSIGNED finds
    examples: tuple[str, ...] = ()
    negative_examples: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()  # names, in lower case, behind which nothing is a secret to it

    @cached_property
    def names(self) -> tuple[bytes, ...]:
        """Its keywords as `bare` leaves them, one of which stands near each match; none where one is too long to look
        for."""
        names = {bare(keyword.lower().encode()) for keyword in self.keywords}
        return tuple(names) if all(len(name) <= LONGEST for name in names) else ()

    @property
    def by_name(self) -> bool:
        """Whether a name beside the value says what it is, and no format of its own."""
        return self.score or bool(self.keywords)

    def reads(self, decoders: Sequence[str]) -> bool:
        """Whether its findings may come through all of these."""
        return self.decode is None or all(name in self.decode for name in decoders)

    def leaving(self, identifiers: tuple[str, ...]) -> Rule:
        """The same with these, and what was worked out of its pattern."""
        other = copy(self)
        other.__dict__["identifiers"] = identifiers
        return other

    @cached_property
    def shape(self) -> PatternShape:
        """Trigger, widths and literals of the pattern. Raises re.error."""
        shared = TRIGGERS.get(self.trigger or "")
        if shared is not None:
            return shape(self.pattern, anywhere=True)._replace(trigger="|".join(shared), triggers=shared)
        if self.keywords:  # sent here by a hint, which may be any part of its keyword
            return shape(self.pattern, self.trigger, anywhere=True)._replace(trigger="", triggers=())
        return shape(self.pattern, self.trigger)

    @cached_property
    def awaits(self) -> int:
        """Bytes behind a match in which a companion may come that it is nothing without."""
        return max((companion.within for companion in self.requires if not companion.optional), default=0)

    @cached_property
    def confirm(self) -> str:
        """The pattern as RE2 runs it: word boundaries on the left also see escapes (see LEFT)."""
        text = re.sub(r"\\b(?=\(\?P<secret>)", lambda _: LEFT, self.pattern)
        return LEFT + text[2:] if text.startswith(r"\b") else text


def bare(text: bytes) -> bytes:
    """In lower case, without what may part the words of a name."""
    return text.lower().translate(None, b"_- ")


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?`, or nothing when nothing is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else ""
