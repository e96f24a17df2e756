"""What is audited: folders, images, the configuration and the store. Each check takes of it what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.audit.verdict import Evidence, unknown

if TYPE_CHECKING:
    from detectors.match.engine import Engine
    from monitor.audit.settings import AuditConfig
    from monitor.audit.tree import Tree
    from monitor.config import Config
    from monitor.store import Store

__all__ = ["Subject", "unread"]


@dataclass(frozen=True, slots=True)
class Subject:
    """`store` None: there is none, and `no_store` says why. `now`: seconds since the epoch."""

    trees: tuple[Tree, ...]
    images: tuple[Path, ...]
    config: Config
    engine: Engine
    key: bytes = field(repr=False)
    store: Store | None
    no_store: str
    now: float

    @property
    def settings(self) -> AuditConfig:
        return self.config.audit

    @property
    def empty(self) -> bool:
        """No file is there: that something is missing is then no news."""
        return not any(tree.sizes for tree in self.trees)


def unread(tree: Tree, *, scanned: bool = False) -> Iterator[Evidence]:
    """What of a folder could not be looked at. `scanned`: nor searched by the rules."""
    _ = tree.sizes, tree.code  # which find it out
    for name, why in dict.fromkeys([*tree.problems, *(tree.scanned.problems if scanned else ())]):
        yield unknown(f"{name}: {why}", f"ls -ld {tree.base / name}", name)
