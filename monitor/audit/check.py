"""What a check is given, and what it says.

It is given folders, images, the configuration and the store, of which it takes what it needs. It says pieces of
evidence, of which the worst decides, and none of which can hold a secret's value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from monitor.audit.formats import UnreadError
from monitor.clients.git import GitError
from monitor.common.environments import environment_of

if TYPE_CHECKING:
    from detectors.match.engine import Engine
    from monitor.actions.config import ActionConfig
    from monitor.audit.settings import AuditConfig, Waiver
    from monitor.audit.tree import Tree
    from monitor.inventory.managers.base import ManagerConfig
    from monitor.rotation.settings import RotationConfig
    from monitor.runbook.settings import RunbookConfig
    from monitor.sources.base import SourceConfig
    from monitor.store import Store
    from monitor.verify.config import VerifyConfig

__all__ = [
    "MOST",
    "AuditTables",
    "Evidence",
    "Findings",
    "Judged",
    "Subject",
    "Verdict",
    "attempted",
    "each_folder",
    "failed",
    "passed",
    "unknown",
    "unread",
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


passed = partial(Evidence, "pass")
failed = partial(Evidence, "fail")
unknown = partial(Evidence, "unknown")


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

    def masked(self, redact: Callable[[str], str]) -> None:
        """The worst first, and no secret in what stands in it: paths and names come from outside."""
        order = ("fail", "unknown", "pass")
        self.evidence = [
            replace(one, text=redact(one.text), repeat=redact(one.repeat), path=redact(one.path))
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


class AuditTables(Protocol):
    """What is taken of the configuration."""

    @property
    def workers(self) -> int: ...
    @property
    def audit(self) -> AuditConfig: ...
    @property
    def waivers(self) -> Sequence[Waiver]: ...
    @property
    def sources(self) -> Sequence[SourceConfig]: ...
    @property
    def sinks(self) -> Sequence[Any]: ...
    @property
    def actions(self) -> Sequence[ActionConfig]: ...
    @property
    def verify(self) -> VerifyConfig: ...
    @property
    def rotation(self) -> RotationConfig: ...
    @property
    def runbook(self) -> RunbookConfig: ...
    @property
    def inventory(self) -> Sequence[ManagerConfig]: ...
    @property
    def state_dir(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """`store` None: there is none, and `no_store` says why. `now`: seconds since the epoch."""

    trees: tuple[Tree, ...]
    images: tuple[Path, ...]
    config: AuditTables
    engine: Engine
    key: bytes = field(repr=False)
    store: Store | None
    no_store: str
    now: float

    @property
    def settings(self) -> AuditConfig:
        return self.config.audit

    def is_production(self, environment: str) -> bool:
        """By its name, or by `audit.production`."""
        patterns = self.settings.production
        return environment_of(environment) == "production" or any(fnmatchcase(environment, one) for one in patterns)

    @property
    def empty(self) -> bool:
        """No file is there: that something is missing is then no news."""
        return not any(tree.sizes for tree in self.trees)


def each_folder(check: Callable[[Subject, Tree], Iterator[Evidence]]) -> Callable[[Subject], Iterator[Evidence]]:
    """A check of one folder as one of all that were named."""

    @wraps(check)
    def whole(subject: Subject) -> Iterator[Evidence]:
        if not subject.trees:
            yield unknown("no folder was named", "monitor audit PATH")
        for tree in subject.trees:
            yield from check(subject, tree)

    return whole


def unread(tree: Tree, *, scanned: bool = False) -> Iterator[Evidence]:
    """What of a folder could not be looked at. `scanned`: nor searched by the rules."""
    _ = tree.sizes, tree.code  # which find it out
    for name, why in dict.fromkeys([*tree.problems, *(tree.scanned.problems if scanned else ())]):
        yield unknown(f"{name}: {why}", f"ls -ld {tree.base / name}", name)
