"""What a check says: pieces of evidence, of which the worst decides, and none of which can hold a secret's value."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from monitor.clients.git import GitError

if TYPE_CHECKING:
    from monitor.audit.settings import Waiver

__all__ = [
    "MOST",
    "Evidence",
    "Findings",
    "Judged",
    "UnreadError",
    "Verdict",
    "attempted",
    "failed",
    "passed",
    "unknown",
]

Verdict = Literal["pass", "fail", "unknown"]
MOST = 50  # pieces of evidence of one kind that are kept of an item; the rest is counted


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was seen, or that could not be looked at.

    `repeat`: the command with which a person sees it again. `path`: where; `line` from 1. `waiver`: who accepts it.
    """

    verdict: Verdict
    text: str
    repeat: str = ""
    path: str = ""
    line: int | None = None
    waiver: Waiver | None = None


Findings = Iterable[Evidence] | AsyncIterable[Evidence]


def passed(text: str, repeat: str = "", path: str = "", line: int | None = None) -> Evidence:
    return Evidence("pass", text, repeat, path, line)


def failed(text: str, repeat: str = "", path: str = "", line: int | None = None) -> Evidence:
    return Evidence("fail", text, repeat, path, line)


def unknown(text: str, repeat: str = "", path: str = "", line: int | None = None) -> Evidence:
    return Evidence("unknown", text, repeat, path, line)


class UnreadError(Exception):
    """Why a file could not be read as what it is."""


def attempted(pieces: Iterable[Evidence], what: str, repeat: str, path: str = "") -> Iterator[Evidence]:
    """The pieces; and where what they are about cannot be read in the midst of them, that."""
    try:
        yield from pieces
    except (UnreadError, GitError, OSError) as error:
        yield unknown(f"{what}: {getattr(error, 'strerror', None) or error}", repeat, path)


@dataclass(slots=True)
class Judged:
    """An item with its evidence, the worst first. `counts`: all pieces, by verdict; `waived`: failures accepted."""

    id: str
    title: str
    remedy: str
    evidence: list[Evidence] = field(default_factory=list)
    counts: Counter[Verdict] = field(default_factory=Counter)
    waived: int = 0
    expired: list[Waiver] = field(default_factory=list)  # waivers that no longer accept a failure there is

    def add(self, piece: Evidence) -> None:
        self.counts[piece.verdict] += 1
        self.waived += piece.waiver is not None
        if self.counts[piece.verdict] <= MOST:
            self.evidence.append(piece)

    def masked(self, scrub: Callable[[str], str]) -> None:
        """The worst first, and no secret in what stands in it: paths and names come from outside."""
        order = ("fail", "unknown", "pass")
        self.evidence = [
            replace(one, text=scrub(one.text), repeat=scrub(one.repeat), path=scrub(one.path))
            for one in sorted(self.evidence, key=lambda one: order.index(one.verdict))
        ]

    @property
    def verdict(self) -> Verdict:
        """Of no evidence at all nothing is known."""
        if self.counts["fail"]:
            return "fail"
        return "unknown" if self.counts["unknown"] or not self.counts["pass"] else "pass"

    @property
    def accepted(self) -> bool:
        """It fails, and a waiver in force covers every failure."""
        return 0 < self.counts["fail"] == self.waived

    @property
    def left_out(self) -> int:
        return sum(self.counts.values()) - len(self.evidence)
