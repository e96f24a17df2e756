"""What must be written down: how often secrets are rotated (and whether they are), what to do when one is out."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from monitor.audit.check import Evidence, Subject, failed, passed, unknown
from monitor.audit.formats import UnreadError
from monitor.audit.tree import LARGEST
from monitor.rotation.schedule import calendar, policy_of
from monitor.rotation.settings import RotationConfig
from monitor.rotation.work import look
from monitor.store import Store

__all__ = ["emergency", "kept", "rotation"]

_PROSE = re.compile(r"(?i)\.(?:md|markdown|rst|adoc|txt)$")
_LONGEST = 2000  # characters of a line that are looked at
_ROTATION = re.compile(r"(?i)\brotat(?:e|es|ed|ion|ing)\b")
_OFTEN = re.compile(
    r"(?i)\b(?:every|each|per|within|after|once an?|at least|max(?:imum)?)\s*(?:\d{1,4}|one|two|three|six|twelve)?"
    r"[\s-]*(?:day|week|month|quarter|year)s?\b|\b(?:daily|weekly|monthly|quarterly|yearly|annual(?:ly)?|semi-?annual(?:ly)?)\b"
    r"|\b\d{1,4}[\s-]*(?:days?|weeks?|months?|d)\b"
)
_EMERGENCY = re.compile(r"(?i)\b(?:emergency|incident|leak(?:ed|age|s)?|expos(?:ed|ure)|compromised?|breach(?:ed)?)\b")
_ACT = re.compile(r"(?i)\b(?:revok(?:e|ed|ing)|rotat(?:e|ed|ing)|invalidat(?:e|ed|ing)|disabl(?:e|ed|ing))\b")
_TELL = re.compile(r"(?i)\b(?:notif(?:y|ied)|contact|call|page|inform|report|escalat(?:e|ed)|on-?call|tell)\b")
_SECRET = re.compile(r"(?i)\b(?:secret|key|credential|token|password)s?\b")


class _Line(NamedTuple):
    number: int
    text: str


def rotation(subject: Subject) -> Iterator[Evidence]:
    """A page about rotation that says how often."""
    yield from _documented(subject, subject.settings.rotation_document, "a rotation schedule", _schedule)


def emergency(subject: Subject) -> Iterator[Evidence]:
    """A page about leaked secrets that says to revoke them and whom to tell, or runbooks of one's own."""
    folder = subject.config.runbook.folder
    own = sorted(folder.glob("*.toml")) if folder is not None and folder.is_dir() else []
    if own:
        yield passed(f"{len(own)} runbooks of your own in {folder}", "monitor runbook list --books", str(folder))
    else:
        given = subject.settings.emergency_document
        yield from _documented(subject, given, "an emergency procedure", _procedure)


def _schedule(name: str, lines: list[_Line]) -> int | None:
    """The line that says how often, in a page or below a heading about rotation."""
    about = bool(_ROTATION.search(name.replace("_", " ").replace("-", " ")))
    level = 0
    for line in lines:
        depth = len(line.text) - len(line.text.lstrip("#"))
        if depth and (not level or depth <= level):
            level = depth if _ROTATION.search(line.text) else 0
        speaks = _ROTATION.search(line.text) is not None
        if (about or level or speaks) and _OFTEN.search(line.text):
            return line.number
    return None


def _procedure(name: str, lines: list[_Line]) -> int | None:
    """The line at which a page about secrets that are out begins to say what is to be done."""
    titles = [name.replace("_", " ").replace("-", " "), *(line.text for line in lines if line.text.startswith("#"))]
    if not any(map(_EMERGENCY.search, titles)):
        return None
    text = " ".join(line.text for line in lines)
    act = next((line.number for line in lines if _ACT.search(line.text)), None)
    return act if act is not None and _TELL.search(text) and _SECRET.search(text) else None


def _documented(
    subject: Subject, given: Path | None, what: str, find: Callable[[str, list[_Line]], int | None]
) -> Iterator[Evidence]:
    if given is not None:
        repeat = shlex.join(["cat", str(given)])
        try:
            with given.open("rb") as file:
                line = find(given.name, _lines(file.read(LARGEST).decode("utf-8", "replace")))
        except OSError as error:
            yield unknown(f"{given}: {error.strerror or 'cannot be read'}", repeat, str(given))
            return
        yield (
            failed(f"{given} does not say {what}", repeat, str(given))
            if line is None
            else passed(f"{given}:{line} says {what}", repeat, str(given), line)
        )
        return
    pages = []
    for tree in subject.trees:
        for name in tree.named(_PROSE, tree.code):
            try:
                line = find(name, _lines(tree.text(name)))
            except UnreadError as error:
                yield unknown(f"{name}: {error}", shlex.join(["ls", "-l", str(tree.base / name)]), name)
                continue
            if line is not None:
                pages.append(
                    passed(f"{name}:{line} says {what}", shlex.join(["cat", str(tree.base / name)]), name, line)
                )
    yield from pages
    if not pages:
        folders = [str(tree.base) for tree in subject.trees]
        repeat = shlex.join(["grep", "-rliE", "rotat|revoke|incident", *(folders or ["."])])
        unseen = f"whether a page says {what}: no file was there to look at"
        yield unknown(unseen, repeat) if subject.empty else failed(f"no page says {what}", repeat)


def _lines(text: str) -> list[_Line]:
    return [_Line(number, line[:_LONGEST]) for number, line in enumerate(text.split("\n"), 1)]


async def kept(subject: Subject) -> AsyncIterator[Evidence]:
    """A page or `[rotation]` says how often, and no secret of the inventory is overdue or has expired."""
    own = subject.config.rotation.policies
    if own != RotationConfig().policies:
        yield passed(f"{len(own)} [[rotation.policies]] say how often", "monitor rotation due")
    else:
        for piece in rotation(subject):
            yield piece
    if subject.store is None:
        yield unknown(f"how old secrets are: {subject.no_store}", "monitor rotation due")
        return
    async for piece in _ages(subject, subject.store):
        yield piece


async def _ages(subject: Subject, store: Store) -> AsyncIterator[Evidence]:
    for sync in (await store.inventory.syncs()).values():
        if sync.error:
            yield unknown(f"inventory {sync.entry} could not be read: {sync.error}", "monitor inventory doctor")
    fine = True
    secrets = await look(store)
    ruled = [one for one in secrets if policy_of(one, subject.config.rotation) is not None]
    late = [one for one in calendar(secrets, subject.config.rotation, subject.now) if one.standing == "overdue"]
    for one in late:
        day = f"{datetime.fromtimestamp(one.at, UTC):%Y-%m-%d}"
        yield failed(f"{one.secret.title} was due on {day}: {one.why}", "monitor rotation due")
    titles = {one.secret.title for one in late}
    for managed in ruled:
        if managed.changed is None and managed.title not in titles:
            fine = False
            why = "its manager does not say how old it is"
            yield unknown(f"{managed.title}: {why}", shlex.join(["monitor", "inventory", "show", managed.title]))
    if not ruled:
        why = "no [[rotation.policies]] fits one of them" if secrets else "so nobody knows how old one is"
        yield unknown(f"the inventory holds {len(secrets) or 'no'} secrets, and {why}", "monitor rotation due")
    elif fine and not late:
        yield passed(f"{len(ruled)} secrets under a policy, none overdue", "monitor rotation due")
