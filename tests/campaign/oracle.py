"""What a trial came to: what was issued, held against what arrived, what is stored and what was told as lost."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.acceptance.harness import Monitor
from tests.campaign.receiver import Receiver
from tests.campaign.script import Plan
from tests.campaign.streams import Streams

__all__ = ["Oracle", "Outcome"]


@dataclass
class Outcome:
    """What one trial came to. `failed` says in one line what is wrong, None: nothing."""

    name: str
    issued: int = 0
    delivered: int = 0
    missing: list[int] = field(default_factory=list)
    spurious: int = 0
    doomed: int = 0  # destroyed unread, not delivered, told
    untold: int = 0  # the same, not told although it could be known
    gone: int = 0  # out of reach, not delivered
    notifications: int = 0
    repeated: int = 0  # notifications that came again under the same id
    unstable: int = 0  # secrets whose incident, or whose first notification, came under two ids
    leaked: int = 0
    again: int = 0  # occurrences beyond the first: each secret is written once
    exits: list[int] = field(default_factory=list)  # of a monitor that ended by itself
    recovery: float = 0.0  # seconds from when all was mended and written to the last delivery
    wall: float = 0.0
    failed: str | None = None
    notices: list[str] = field(default_factory=list)
    errors: str = ""


class Oracle(Streams):
    """Knows of a trial what was issued, and what became of it."""

    def __init__(self, folder: Path, plan: Plan, settings: dict[str, Any]) -> None:
        super().__init__(folder, f"{plan.row} {plan.column} {plan.seed}", plan.settings.get("stream"))
        self.plan = plan
        self.settings = settings
        self.receiver = Receiver()
        self.state = folder / "state"
        self.exits: list[int] = []  # codes of a monitor that ended by itself
        self.gone: set[int] = set()
        self._monitor: Monitor

    def _judge(self, outcome: Outcome, missed: float, failed: str | None) -> None:
        receiver = self.receiver
        lost = self._undelivered()
        outcome.issued = len(self.values)
        outcome.delivered = len(self.prints.keys() & receiver.arrived.keys())
        outcome.gone = len(lost & self.gone)
        lost -= self.gone
        told = self._told(missed)
        doomed = lost & self.doomed.keys()
        # With the database the monitor lost how far it was, and said so.
        forgotten = self._forgotten()
        outcome.untold = 0 if told else sum(self.doomed[number] for number in doomed - forgotten)
        doomed |= lost & forgotten
        outcome.doomed = len(doomed) - outcome.untold
        outcome.missing = sorted(lost - doomed)
        outcome.spurious = len(receiver.arrived.keys() - self.prints.keys())
        outcome.notifications = len(receiver.sent)
        outcome.repeated = len(receiver.sent) - len(set(receiver.sent))
        ids = [*receiver.ids.values()]
        if self.plan.column != "database":  # where what was told is forgotten, it is told again
            ids += receiver.first.values()
        outcome.unstable = sum(len(found) > 1 for found in ids)
        said = self._monitor.errors + self._monitor.output
        outcome.leaked = sum(value in said for value in self.values.values())
        outcome.exits = self.exits
        outcome.notices = receiver.notices[-8:]
        wrong = {
            "missing": len(outcome.missing),
            "destroyed and not told": outcome.untold,
            "spurious": outcome.spurious,
            "under two ids": outcome.unstable,
            "leaked": outcome.leaked,
        }
        problems = [f"{count} {what}" for what, count in wrong.items() if count]
        problems += [outcome.failed or "", f"ended by itself: {self.exits}" if self.exits else "", *receiver.problems]
        problems.append(failed if failed and not outcome.missing else "")
        outcome.failed = ", ".join(filter(None, problems)) or None
        if outcome.failed:
            outcome.errors = self._monitor.errors[-4000:]

    def _undelivered(self) -> set[int]:
        arrived = self.receiver.arrived
        return {number for known, number in self.prints.items() if known not in arrived}

    def _stored(self) -> set[int]:
        """Numbers of the secrets that are committed, read as any other program would."""
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"file:{self.state}/state.db?mode=ro", uri=True, timeout=1)) as base,
        ):
            found = {row[0] for row in base.execute("SELECT fingerprint FROM incidents")}
            return {number for known, number in self.prints.items() if known in found}
        return set()

    def _again(self) -> int:
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"file:{self.state}/state.db?mode=ro", uri=True, timeout=1)) as base,
        ):
            return int(base.execute("SELECT sum(occurrences) - count(*) FROM incidents").fetchone()[0] or 0)
        return 0

    def _open(self) -> set[int]:
        """What is neither delivered, nor doomed, nor, when the sink is the one that fails, stored."""
        left = self._undelivered() - self.doomed.keys() - self.gone
        if left:
            left -= self._forgotten()
        if left and self.plan.column in ("errors", "outage"):
            left -= self._stored()
        return left

    def _forgotten(self) -> set[int]:
        """Where the monitor told that its database was damaged: secrets in files that the source's pattern does not
        show. That they were followed nobody knows any more.
        """
        if not any(re.search("state database (was damaged|has lost)", notice) for notice in self.receiver.notices):
            return set()
        paths = self.folder.glob(self.settings["include"])
        inodes = {path.stat().st_ino for path in paths if path.exists()}
        return self.streamed | {number for number, inode in self.inodes.items() if inode not in inodes}

    def _told(self, missed: float) -> bool:
        return missed > 0 or any("missed" in notice for notice in self.receiver.notices)

    def _known(self) -> set[int]:
        """What was destroyed unread as far as the monitor could know, and has not arrived."""
        left = self._undelivered() - self.gone - self._forgotten()
        return {number for number, known in self.doomed.items() if known and number in left}

    async def _missed(self) -> float:
        """The ledger: bytes known to be missed, as the metrics say."""
        with contextlib.suppress(aiohttp.ClientError, OSError, IndexError, TimeoutError):
            timeout = aiohttp.ClientTimeout(total=3)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                async with session.get(f"{self._monitor.address}/metrics") as answer:
                    found = re.findall(r"^exposure_monitor_bytes_missed_total\S* (\S+)", await answer.text(), re.M)
                    return sum(map(float, found))
        return 0.0
