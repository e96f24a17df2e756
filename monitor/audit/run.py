"""The checklist, item by item: evidence gathered, waivers applied, secrets in foreign names masked."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from detectors.match.engine import Engine
from monitor.audit.check import AuditTables, Evidence, Findings, Judged, Subject, unknown
from monitor.audit.items import ITEMS
from monitor.audit.settings import Waiver
from monitor.audit.tree import Tree
from monitor.store import Store

__all__ = ["audit", "load"]


async def audit(
    paths: Sequence[Path],
    config: AuditTables,
    engine: Engine,
    key: bytes,
    items: Sequence[str],
    *,
    store: Store | None,
    no_store: str = "",
    now: float | None = None,
) -> list[Judged]:
    """The items asked for, in the order of the checklist. `paths`: folders, files and images, absolute. `store` None:
    there is none, and `no_store` says why."""
    from monitor.common.text import clean
    from monitor.scanning.redact import Redactor

    redact = Redactor(engine.worker())
    trees = [Tree(path, engine, key, config.workers) for path in paths]
    images = [tree.root for tree in trees if tree.is_image]
    when = time.time() if now is None else now
    subject = Subject(
        trees=tuple(tree for tree in trees if not tree.is_image),
        images=(*images, *config.audit.images),
        config=config,
        engine=engine,
        key=key,
        store=store,
        no_store=no_store,
        now=when,
    )
    judged = []
    for item in ITEMS:
        if item in items:
            one = await _judge(item, subject)
            one.masked(lambda text: clean(redact(text)))
            judged.append(one)
    return judged


def load(item: str) -> Callable[[Subject], Findings]:
    """The check of an item."""
    file, _, name = ITEMS[item].check.partition(":")
    check: Callable[[Subject], Findings] = getattr(import_module(f"monitor.audit.{file}"), name)
    return check


async def _judge(item: str, subject: Subject) -> Judged:
    title, _, remedy = ITEMS[item]
    judged = Judged(item, title, remedy)
    today = datetime.fromtimestamp(subject.now, UTC).date()
    waivers = [one for one in subject.config.waivers if one.item == item]
    valid = [one for one in waivers if one.expires >= today]

    def take(piece: Evidence) -> None:
        if piece.verdict == "fail":
            piece = replace(piece, waiver=_covering(valid, piece))
            late = _covering([one for one in waivers if one not in valid], piece)
            if piece.waiver is None and late is not None and late not in judged.expired:
                judged.expired.append(late)
        judged.add(piece)

    try:
        await _each(load(item), subject, take)
    except Exception as error:  # noqa: BLE001 - hostile files: what a check stumbles over is not known, and no more
        why = f"the check itself failed ({type(error).__name__}); please report it"
        take(unknown(why, f"monitor audit --only {item}"))
    return judged


def _covering(waivers: Sequence[Waiver], piece: Evidence) -> Waiver | None:
    return next((one for one in waivers if one.covers(piece.path)), None)


async def _each(check: Callable[[Subject], Findings], subject: Subject, take: Callable[[Evidence], None]) -> None:
    found = check(subject)
    if isinstance(found, AsyncIterable):
        async for piece in found:
            take(piece)
    else:
        for piece in found:
            take(piece)
