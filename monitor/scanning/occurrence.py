"""Matches of a block as findings: where each lies, what its record says of itself, and the masked line around it.

The one place where that is done, for `run`, `scan` and whatever else searches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from detectors.excerpt import around, narrowed
from detectors.fingerprint import fingerprint
from detectors.match.engine import Match, ScanResult
from detectors.match.exact import OWN
from monitor.common.newlines import characters
from monitor.common.outside import LABEL, PATH, let_in
from monitor.common.severity import rank
from monitor.common.text import one_line
from monitor.domain.model import Block, Finding, OwnedSecret
from monitor.scanning.facts import AROUND, connection, pair, service_of
from monitor.scanning.redact import WITHHELD, Redactor

if TYPE_CHECKING:
    from monitor.scanning.record import LogRecord

__all__ = ["finding_id", "occurrences"]

_TELLING = 16  # bytes of a secret that is nothing else, wherever it stands
_PIECE = 6  # characters of a path that may be a part of a secret
_USUAL = 1 << 10  # bytes that most lines are shorter than
_WIDEST = 1 << 16  # bytes of a line that are looked at for what it says of itself
_LONG = 1 << 14  # bytes of a secret; one that a block cuts off, which no rule knows then, reaches no further into it
_CROWD, _STRETCH = 200, 1 << 16  # matches in such a stretch of text whose line is shown: nobody reads more
_HEAD = 4  # bytes of a secret by which it is looked for
_LONGEST = 240  # characters of a context


def finding_id(generation: str, offset: int, rule: str, print_: str) -> str:
    """The same occurrence has the same id however often it is read: 32 hex digits."""
    return hashlib.blake2b(f"{generation}\0{offset}\0{rule}\0{print_}".encode(), digest_size=16).hexdigest()


def occurrences(
    block: Block,
    result: ScanResult,
    key: bytes,
    redact: Redactor,
    owners: Mapping[str, Sequence[OwnedSecret]],
    *,
    context: bool = True,
) -> Iterator[tuple[Match, Finding]]:
    """What was found in a block; each finding with the match that it was made of, which holds the secret.

    `owners`: of our own secrets, by fingerprint. `context`: with the line around it.
    """
    places = _Places(block, result)
    matches, facts = pair(result.matches)
    for number, match in enumerate(matches):
        places.go_to(match)
        line = places.context(match, redact) if context else None
        finding = _finding(block, match, places, key, redact, facts=facts.get(number, {}), context=line)
        yield match, _named(finding, owners.get(finding.fingerprint, ()))


def _finding(
    block: Block,
    match: Match,
    places: _Places,
    key: bytes,
    redact: Redactor,
    *,
    facts: Mapping[str, str],
    context: str | None,
) -> Finding:
    from monitor.runbook import of  # what reads the files of users: slow to import, and most text holds nothing

    offset = block.offset + match.start if block.offset_at is None else block.offset_at(match.start)
    there = block.attributes_at(offset) if block.attributes_at is not None else {}
    at, generation, offset = block.place(offset)
    print_ = fingerprint(key, match.secret)
    record = places.record()
    path = let_in(_covered(at, match), redact, PATH)
    attributes = {**block.attributes, **there, **_connection(block, match), **match.labels}
    labels = redact.labels({name: _covered(value, match) for name, value in attributes.items()})
    if path != at:
        labels = _untorn(labels, at, path)
    # From what is masked already: a part of a secret is not known for one.
    service = service_of(path, {name: labels[name] for name in block.attributes}, record.service)
    return Finding(
        id=finding_id(generation, offset, match.rule.id, print_),
        rule=match.rule.id,
        name=match.rule.name,
        severity=match.severity,
        confidence=match.confidence,
        fingerprint=print_,
        masked=match.masked,
        source=block.source,
        path=path,
        generation=generation,
        offset=offset,
        time=block.time,
        line=places.line,
        column=places.column(match),
        decode=match.decode,
        labels={**labels, **facts},
        runbook=of(match.rule),
        url=redact.address(block.url),
        service=None if service is None else let_in(service, redact, LABEL),
        logged_at=record.logged_at if block.logged_at is None else block.logged_at,
        context=context,
    )


def _named(finding: Finding, owned: Sequence[OwnedSecret]) -> Finding:
    """With the name of our own secret, where it is one, and what that is worth. What only its value told, and is in use
    no more, is low; what a rule knows may still work at its issuer."""
    if not owned:
        return finding
    from monitor.domain.incidents import labels_of, own_title, worth_of  # slow to import, as below

    labels, worth = labels_of(owned), worth_of(owned)
    return replace(
        finding,
        name=own_title(labels) + finding.name,
        labels={**finding.labels, **labels},
        severity=worth if finding.rule == OWN.id or rank(worth) > rank(finding.severity) else finding.severity,
        confidence="high",
    )


def _covered(text: str, match: Match) -> str:
    """`text` without the secret where it stands there once more, as no rule may know it there. A short one may be a
    name as well."""
    if len(match.secret) < _TELLING:
        return text
    return text.replace(match.secret.decode("utf-8", "surrogateescape"), match.masked)


def _untorn(labels: Mapping[str, str], path: str, shown: str) -> Mapping[str, str]:
    """Labels without what was taken out of the midst of a secret in `path`, of which only `shown` may be shown."""

    def torn(value: str) -> bool:
        return any(len(part) >= _PIECE and part in path and part not in shown for part in value.split("/"))

    return {name: WITHHELD if torn(value) else value for name, value in labels.items()}


def _connection(block: Block, match: Match) -> Mapping[str, str]:
    """User, host and database where the match is the password of a connection string."""
    if match.decode or block.data[match.end : match.end + 1] != b"@":
        return {}
    before, after = block.data[max(0, match.start - AROUND) : match.start], block.data[match.end : match.end + AROUND]
    facts = connection(bytes(before), bytes(after))
    secret = match.secret.decode("utf-8", "replace")
    return {name: value for name, value in facts.items() if secret not in value}


class _Places:
    """Of the matches of one block, to which it goes one after another; linear, however many there are."""

    def __init__(self, block: Block, result: ScanResult) -> None:
        self._block, self._hidden = block, result.hidden
        self._data = bytes(block.data)
        self._back()
        self._record: tuple[int, LogRecord] | None = None  # of the line that begins there
        # Text that was not searched may hold anything, also what stands in the lines beside it.
        self._shows = not result.unsearched
        self._stretch, self._there = -1, 0  # which one, and matches in it
        self._secrets: dict[bytes, set[bytes]] = {}  # by their heads
        self._head = min([_HEAD, *(len(match.secret) for match in result.matches)])
        for match in result.matches:
            self._secrets.setdefault(match.secret[: self._head], set()).add(match.secret)

    def _back(self) -> None:
        self._at = self._newlines = self._characters = 0  # the place, newlines before it, and its line's characters
        self._begin = 0 if self._block.offset == 0 else None  # of its line; None: before the block

    def go_to(self, match: Match) -> None:
        if match.start < self._at:
            self._back()
        newlines = self._data.count(b"\n", self._at, match.start)
        if newlines:
            self._newlines += newlines
            self._begin = self._at = self._data.rfind(b"\n", self._at, match.start) + 1
            self._characters = 0
        self._characters += characters(self._data[self._at : match.start])
        self._at = match.start

    @property
    def line(self) -> int | None:
        block = self._block
        if block.line_at is not None:
            return block.line_at(block.offset + self._at)
        return None if block.line is None else block.line + self._newlines

    def column(self, match: Match) -> int | None:
        """Of its first character, from 1."""
        if match.wide and self._begin is not None:
            return (match.start - self._begin) // 2 + 1
        first = self._block.column if self._begin is None else 1
        return None if first is None else first + self._characters

    def record(self) -> LogRecord:
        """What the record says of itself."""
        from monitor.scanning.record import LogRecord, record

        begin = self._begin
        if begin is None or not self._block.time:
            return LogRecord()
        if self._record is None or self._record[0] != begin:
            # Most lines end soon: to copy the widest for each would cost more than to read it.
            for width in (_USUAL, _WIDEST):
                line, newline, _ = self._data[begin : begin + width].partition(b"\n")
                if newline:
                    break
            # Without its zeros UTF-16 is Latin-1, as far as it is that.
            self._record = begin, record(line.replace(b"\0", b""), self._block.time)
        return self._record[1]

    def context(self, match: Match, redact: Redactor) -> str | None:
        """The line around a match in one printable line; None where it cannot be shown safely, or too many are."""
        if not self._shows or self._crowded(match):
            return None
        text, span, hidden, first = self._data, (match.start, match.end), self._hidden, self._begin or 0
        if match.wide:
            text, span, hidden = narrowed(text, span, hidden)
            first = text.rfind(b"\n", 0, span[0]) + 1
        before, after = around(text, span, hidden, first)
        if self._begin is None and match.start < _LONG:
            before = "…"
        if len(self._data) < match.end + _LONG and self._data.find(b"\n", match.start) < 0:
            after = "…"
        line = one_line(f"{before}{match.masked}{after}".strip(), mark="·")
        if self._holds_secret(line.encode("utf-8", "replace")):
            return None  # it stands there a second time, where no rule takes it for one
        safe = redact(line, match.masked)
        return None if safe == WITHHELD else safe[:_LONGEST]

    def _crowded(self, match: Match) -> bool:
        stretch = (self._block.offset + match.start) // _STRETCH
        self._there = self._there + 1 if stretch == self._stretch else 1
        self._stretch = stretch
        return self._there > _CROWD

    def _holds_secret(self, text: bytes) -> bool:
        heads = {text[at : at + self._head] for at in range(len(text))}
        return any(secret in text for head in self._secrets.keys() & heads for secret in self._secrets[head])
