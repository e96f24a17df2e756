"""What is audited: folders, images, the configuration and the store. Each check takes of it what it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from monitor.audit.verdict import Evidence, unknown
from monitor.common.environments import environment_of

if TYPE_CHECKING:
    from collections.abc import Sequence

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

__all__ = ["AuditTables", "Subject", "each_folder", "unread"]


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
