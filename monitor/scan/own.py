"""Our own secrets in a scan: what the managers hold now is found too, under its name. Nothing of it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from detectors.match.exact import Anchor, Exact
from monitor.domain.model import OwnedSecret, Print, SecretVersion
from monitor.inventory.query import ask
from monitor.scanning.redact import Redactor

if TYPE_CHECKING:
    from detectors.match.engine import Engine
    from monitor.inventory.managers.base import ManagerConfig

__all__ = ["Own", "own"]


@dataclass(slots=True)
class Own:
    """`source`: the configuration. `engine`: finds the values too. `owners`: by fingerprint, the most current first.
    `problems`: of managers that could not be read, a sentence each: what only they hold is not found."""

    source: str
    engine: Engine
    owners: dict[str, list[OwnedSecret]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


async def own(engine: Engine, source: Path, entries: Sequence[ManagerConfig], key: bytes) -> Own:
    """Beside the rules of `engine` the values of these entries of the configuration `source`."""
    redact, ours = Redactor(engine.worker()), Own(str(source), engine)
    anchors: dict[str, Anchor] = {}
    for entry in entries:  # one after another, as `sync` does
        kept, theirs, problem = await ask(entry, source.parent, key, redact)
        anchors |= theirs
        ours.problems += [problem] if problem else []
        for one in kept:
            for print_ in one.prints:
                ours.owners.setdefault(print_.fingerprint, []).append(_owned(entry.name, one, print_))
    for owned in ours.owners.values():
        owned.sort(key=lambda one: one.standing)
    if anchors:
        ours.engine = engine.beside(Exact(anchors.values(), key))
    return ours


def _owned(entry: str, version: SecretVersion, print_: Print) -> OwnedSecret:
    return OwnedSecret(
        fingerprint=print_.fingerprint,
        entry=entry,
        name=version.name,
        part=print_.part,
        environment=version.environment,
        owner=version.owner,
        consumers=version.consumers,
        tags=version.tags,
        standing=version.standing,
    )
