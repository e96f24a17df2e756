"""Texts that come from outside (paths, addresses, names, labels) with whatever the rules take for a secret masked.

They go into the database, to sinks and into logs, so each passes here where a finding or an alert is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

from detectors.match.cost import UNHURRIED
from detectors.match.outcome import covered
from detectors.rules.template import expand
from monitor.common.outside import LABEL, NAME, PATH, ROOM, let_in
from monitor.domain.model import Alert, Finding

if TYPE_CHECKING:
    from detectors.match.engine import Worker
    from detectors.match.outcome import Cover
    from detectors.rules.rule import Rule

__all__ = ["WITHHELD", "Halves", "Redactor"]

WITHHELD = "(withheld: it holds a secret)"
_REMEMBERED = 2048  # texts: the paths of one host are few and come with every finding
_ROOM = 1 << 20  # characters of them
_LEAST = 8  # no secret is shorter
_CUT = 96  # characters of a text that may have been cut; all limits were higher
_HEAD = 12  # characters of a secret's beginning that is known for one
_FIRST = re.compile(r"[^\s\"'`=:,;(){}\[<>|?&]{3,}(?=\{)")  # what stands right before the first part of an example
_WORD = re.compile(r"[^\s\"'<>(){}…,;]{12,}(?=[\"'<>)},;]*(?:\s|$))")
_BEGIN = re.compile(r"(?<![A-Za-z0-9])(?=(...))")
_KEY = re.compile(r"-----BEGIN(?!…)(?!.*-----END[ A-Z0-9]*-----).*", re.DOTALL)
_JWT = re.compile(r"eyJ[\w.-]+")
_BY_CHANCE = re.compile(r"[0-9A-Z]|[a-z]{16}")  # what is no words


class Redactor:
    """For one thread, as `worker` is. Never raises: what cannot be looked at is withheld."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._known: dict[tuple[str, str], str] = {}
        self._size = 0  # characters of those

    def __call__(self, text: str, preview: str = "") -> str:
        """`text` with each secret in it as its masked preview, or WITHHELD where that cannot be done safely.

        A `preview` that stands in it already is left: in the place of a password it looks like one.
        """
        if len(text) < _LEAST:
            return text
        known = self._known.get((text, preview))
        if known is None:
            known = self._scrubbed(text, preview.encode())
            if len(text) <= ROOM:
                self._remember(text, preview, known)
        return known

    def _remember(self, text: str, preview: str, known: str) -> None:
        if len(self._known) >= _REMEMBERED or self._size > _ROOM:
            self._known.clear()
            self._size = 0
        self._known[text, preview] = known
        self._size += len(text)

    def address(self, url: str | None) -> str | None:
        """None for one that holds a secret: masked it would lead nowhere."""
        return url if url is None or self(url) == url else None

    def labels(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        return {key: let_in(value, self, LABEL) for key, value in labels.items()} if labels else labels

    def finding(self, finding: Finding) -> Finding:
        """A ready-made finding (of another system's alert), fit to be kept."""
        return replace(
            finding,
            name=let_in(finding.name, self, NAME),
            path=let_in(finding.path, self, PATH),
            service=finding.service and let_in(finding.service, self),
            labels=self.labels(finding.labels),
            url=self.address(finding.url),
        )

    def alert(self, alert: Alert) -> Alert:
        return replace(alert, url=self.address(alert.url) or "", labels=self.labels(alert.labels))

    def _scrubbed(self, text: str, preview: bytes) -> str:
        try:
            raw = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # a lone surrogate that stands for no byte
            raw = text.encode("utf-8", "backslashreplace")
        try:
            covers = self._covers(raw, {preview})
            if not covers:
                return text
            if any(cover.match.decode for cover in covers):
                return WITHHELD  # what stands encoded around it belongs to it
            masked = _masked(raw, covered(covers))
            # What is now joined to something else.
            previews = {preview, *(cover.match.masked.encode() for cover in covers)}
            if self._covers(masked, previews) or any(cover.match.secret in masked for cover in covers):
                return WITHHELD
        except Exception:  # noqa: BLE001 - whatever the engine stumbles over, the finding itself must not be lost
            return WITHHELD
        return masked.decode("utf-8", "surrogateescape")

    def _covers(self, raw: bytes, previews: Set[bytes]) -> Sequence[Cover]:
        """What is found, also what lost to another rule on its span. Raises ValueError where not all was searched."""
        found = self._worker.search(raw, 0, len(raw), UNHURRIED)
        if found.unsearched:
            raise ValueError("not searched to its end")
        return [cover for cover in found.covers if cover.match.secret not in previews]


def _masked(raw: bytes, covers: Sequence[Cover]) -> bytes:
    parts, at = [], 0
    for cover in covers:
        parts += [raw[at : cover.start], cover.match.masked.encode()]
        at = cover.end
    return b"".join([*parts, raw[at:]])


class Halves:
    """Masks what is left of a secret at the end of a text that was cut before the rules saw it: from where on it is the
    beginning of what a rule finds. That is tried with the rest of the rule's own examples."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._known: dict[str, list[tuple[str, Rule]]] = {}  # three characters → words that begin so, and their rules
        for rule in rules:
            for word in _words(rule):
                self._known.setdefault(word[:3], []).append((word, rule))

    def __call__(self, text: str) -> str:
        if len(text) < _CUT and "…[" not in text:
            return text
        text = _KEY.sub("-----BEGIN…", text)
        return _WORD.sub(lambda found: self._masked(found[0]), text)

    def _masked(self, word: str) -> str:
        for begin in _BEGIN.finditer(word):
            head = word[begin.start() :]
            if len(head) < _HEAD:
                break
            if _JWT.fullmatch(head):
                return f"{word[: begin.start()]}eyJ…"
            for first, rule in self._known.get(begin[1], ()):
                if head.startswith(first) and _BY_CHANCE.search(head[len(first) :]) and _begins(head, first, rule):
                    return f"{word[: begin.start()]}{first}…"
        return word


def _words(rule: Rule) -> Iterable[str]:
    """What the secrets of a rule begin with, or what leads to them."""
    known = [word for word in (rule.shape.prefix, *rule.shape.literals) if len(word) > 1]
    found = {match[0] for example in rule.examples if (match := _FIRST.search(example))}
    return [first for first in found if any(word in first or first in word for word in known)]


def _begins(head: str, first: str, rule: Rule) -> bool:
    """Whether the rule's pattern takes it, continued as an example goes on."""
    for example in rule.examples:
        text = expand(example, 1)
        at = text.find(first)
        if at < 0:
            continue
        whole = text[:at] + head + text[at + len(head) :]
        if any(one.start() <= at and one.end() >= at + len(head) for one in re.finditer(rule.pattern, whole)):
            return True
    return False
