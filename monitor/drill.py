"""A fire drill: a synthetic secret is planted in a file that is followed, and seen through to its end, hop by hop.

The monitor that runs does all of it; here somebody only plants, looks, acknowledges and closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

from monitor.incidents import Incident, TransitionError
from monitor.model import Resolution
from monitor.sources.file.globs import Globs
from monitor.sources.file.source import FileConfig
from monitor.store import OutboxEntry, Store

__all__ = ["DrillError", "Follower", "Hop", "Plant", "place", "plant"]

_T = TypeVar("_T")
_LOOK = 0.1  # seconds between looks at the database
_NEWS = 5.0  # seconds within which news of a known incident goes out, unless its group collects


class DrillError(Exception):
    """A hop that did not come. `hop` names it; the message says why and what to look at."""

    def __init__(self, hop: str, message: str) -> None:
        super().__init__(message)
        self.hop = hop


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop that came, `seconds` after the secret was planted."""

    name: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Plant:
    """What lies where. `made`: the file is ours, and goes at the end."""

    path: Path
    at: float
    made: bool

    def remove(self) -> None:
        if self.made:
            with contextlib.suppress(OSError):
                self.path.unlink()


def place(config: FileConfig, given: Path | None = None) -> Path:
    """A file that the source follows: the one `given`, or a new one that fits its patterns. Raises DrillError."""
    globs = Globs(config.include, config.exclude)
    if given is not None:
        path = given.absolute()
        if globs.matches(str(path)):
            return path
        raise DrillError("planted", f"source {config.name} does not follow {path}: it is not in include, or in exclude")
    name = f"exposure-drill-{secrets.token_hex(4)}"
    for pattern in config.include:
        fitting = _fitting(Path(pattern), name)
        if fitting is not None and globs.matches(str(fitting)) and fitting.parent.is_dir():
            return fitting
    raise DrillError("planted", f"no file name fits the patterns of source {config.name}; name one with --file")


def _fitting(pattern: Path, name: str) -> Path | None:
    """A path that fits: in the first folder there is, with `name` for the file's first wildcard."""
    last = re.sub(r"\*+", name, pattern.name, count=1)
    last = re.sub(r"\*+", "x", last).replace("?", "x")
    folder = str(pattern.parent)
    if pattern.name == "**":
        last = f"{name}.log"
    folders = [folder] if not glob.has_magic(folder) else sorted(glob.glob(folder, recursive=True))
    found = next((one for one in folders if os.path.isdir(one)), None)
    return None if found is None or glob.has_magic(last) else Path(found) / last


def plant(path: Path, secret: str) -> Plant:
    """Append a line with the secret. Raises DrillError."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = f"{now} INFO exposure-monitor drill, nothing leaked: {secret}\n"
    made = not path.exists()
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        raise DrillError("planted", f"{path}: {error.strerror}; name another file with --file") from None
    return Plant(path, time.time(), made)


@dataclass(frozen=True, slots=True)
class Follower:
    """`came` hears of each hop. `patience`: seconds for each of them; `pagers`: sinks that are left out."""

    store: Store
    actor: str
    patience: float
    came: Callable[[Hop], None]
    pagers: Sequence[str] = ()

    async def follow(self, fingerprint: str, planted: float) -> None:
        """See it through: detected, routed, told, acknowledged, closed. Raises DrillError; it is closed then, too."""

        def hop(name: str, detail: str = "", at: float | None = None) -> None:
            self.came(Hop(name, max((at if at is not None else time.time()) - planted, 0.0), detail))

        incident = await self._detected(fingerprint)
        try:
            history = await self.store.incidents.history(incident.id)
            opened = next((entry.at for entry in history if entry.action == "opened"), None)
            where = incident.locations[0].path if incident.locations else ""
            hop("detected", f"{incident.rule} in {where}", incident.first_seen)
            hop("incident", f"{incident.id}, {incident.severity}", opened)

            told = await self._routed(incident)
            hop("routed", ", ".join(dict.fromkeys(one.sink for one in told)), min(one.created_at for one in told))
            for one in await self._sent(incident, {row.id for row in told}):
                hop(f"told {one.sink}", "", one.finished_at)
            hop("acknowledged", await self._move(incident, "ack"))
        except DrillError:
            with contextlib.suppress(DrillError):
                await self._move(incident, "resolve")
            raise
        hop("closed", await self._move(incident, "resolve"))

    async def _detected(self, fingerprint: str) -> Incident:
        async def look() -> Incident | None:
            try:
                return await self.store.incidents.get(fingerprint)
            except LookupError:
                return None

        found = await _until(look, self.patience)
        if found is None:
            raise DrillError(
                "detected",
                f"nothing was found within {self.patience:g} s: is `monitor run` running on this state, and does it "
                "read that file? `monitor sources` shows how far each source is",
            )
        return found

    async def _routed(self, incident: Incident) -> Sequence[OutboxEntry]:
        found = await _until(lambda: self._news(incident, set()), self.patience)
        if found is None:
            left_out = (
                f"; pagers are left out ({', '.join(self.pagers)}): --page tells them, too" if self.pagers else ""
            )
            why = f"`monitor routes test --incident {incident.id}` says why"
            raise DrillError("routed", f"nobody is told of incident {incident.id}{left_out}; {why}")
        return found

    async def _sent(self, incident: Incident, ids: set[str]) -> Sequence[OutboxEntry]:
        """Wait until these notifications are with their sinks."""
        rows: list[OutboxEntry] = []

        async def look() -> Sequence[OutboxEntry] | None:
            rows[:] = [one for one in await self.store.outbox.list(about=incident.id, limit=1000) if one.id in ids]
            return rows if all(one.state in ("sent", "dead") for one in rows) else None

        await _until(look, self.patience)
        for one in rows:
            if one.state != "sent":
                why = one.error or "it has not answered"
                hint = f"`monitor sinks test {one.sink}` tries it alone"
                late = f"sink {one.sink} has not taken it within {self.patience:g} s"
                raise DrillError(f"told {one.sink}", f"{late}: {why}; {hint}")
        return rows

    async def _move(self, incident: Incident, action: Literal["ack", "resolve"]) -> str:
        """Acknowledge or close it, as somebody would, and see that the sinks hear of it. Returns who did."""
        before = {one.id for one in await self.store.outbox.list(about=incident.id, limit=1000)}
        resolution: Resolution | None = "used_in_tests" if action == "resolve" else None
        try:
            await self.store.incidents.transition(
                incident.id, action, actor=self.actor, resolution=resolution, note="drill"
            )
        except TransitionError as error:
            raise DrillError("acknowledged" if action == "ack" else "closed", str(error)) from None
        news = await _until(lambda: self._news(incident, before), min(_NEWS, self.patience))
        if news is None:
            return "the group tells of it later"
        rows = await self._sent(incident, {one.id for one in news})
        return f"told {', '.join(dict.fromkeys(one.sink for one in rows))}"

    async def _news(self, incident: Incident, known: set[str]) -> Sequence[OutboxEntry] | None:
        """Notifications about it that are not `known`; None: there are none."""
        rows = await self.store.outbox.list(about=incident.id, limit=1000)
        return [one for one in rows if one.id not in known] or None


async def _until(look: Callable[[], Awaitable[_T | None]], patience: float) -> _T | None:
    """What `look` gives once it gives something; None when it does not in time."""
    deadline = time.monotonic() + patience
    while True:
        if (found := await look()) is not None:
            return found
        if time.monotonic() > deadline:
            return None
        await asyncio.sleep(_LOOK)
