"""One incident, seen from outside as any other program would, and what people do about it from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp

from tests.acceptance.harness import Monitor
from tests.fakes.forks import Forks
from tests.fakes.slack import FakeSlack


class Case:
    """The incident of `rule` (None: the only one) in the database of a monitor that stands in `folder`."""

    def __init__(self, folder: Path, rule: str | None = None) -> None:
        self.path = folder / "state" / "state.db"
        self._which = f" WHERE rule = '{rule}'" if rule else ""

    def rows(self, query: str) -> list[tuple[str, ...]]:
        if not self.path.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5)) as database:
            try:
                return list(database.execute(query))
            except sqlite3.OperationalError:
                return []  # the schema is not there yet

    @property
    def id(self) -> str:
        return self.rows(f"SELECT id FROM incidents{self._which}")[0][0]

    def trail(self) -> list[str]:
        which = f"incident IN (SELECT id FROM incidents{self._which})"
        found = self.rows(f"SELECT action, step FROM audit WHERE {which} ORDER BY seq")
        return [f"{action}:{step}" if step else action for action, step in found]

    def has(self, entry: str, times: int = 1) -> bool:
        return self.trail().count(entry) >= times

    def acted(self) -> list[str]:
        """What the trail says of actions."""
        return [note for (note,) in self.rows("SELECT note FROM audit WHERE action = 'acted' ORDER BY seq")]

    def actions(self) -> list[tuple[str, ...]]:
        """Id and state of each action, in the order they were planned."""
        return self.rows("SELECT id, state FROM actions ORDER BY planned_at, id")


async def announced(monitor: Monitor, name: str, request: Callable[[], tuple[bytes, dict[str, str]]]) -> None:
    """To the door, as its vendor does: again, until it is kept. And once more, as vendors do, too."""
    kept = 0
    async with aiohttp.ClientSession() as session, asyncio.timeout(120):
        while kept < 2:
            body, headers = request()
            try:
                async with session.post(f"{monitor.address}/hooks/{name}", data=body, headers=headers) as answer:
                    assert answer.status in (200, 202, 503), await answer.text()
                    kept += answer.status != 503
            except (aiohttp.ClientError, OSError, IndexError):  # it is down
                await asyncio.sleep(0.05)


async def command(
    monitor: Monitor, rng: random.Random, *arguments: str, reached: Callable[[], bool], stdin: str = ""
) -> None:
    """Run it as somebody would whose shell may die: again, until the database shows what was asked for."""
    for _ in range(20):
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
            given.write(stdin.encode())
            given.seek(0)
            command = (*arguments, "--config", str(monitor.config))
            process = Forks.shared().start(*command, env=monitor.environment, stdin=given, stdout=said, stderr=said)
            ending = asyncio.create_task(process.wait())
            if rng.random() < 0.3:
                await asyncio.wait([ending], timeout=rng.random() / 2)  # it starts in no time
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            code = await ending
            said.seek(0)
            words = said.read().decode()
        if reached():
            return
        assert code in (0, 1, -signal.SIGKILL), words
    raise AssertionError(f"{arguments}: {words}")


async def text(monitor: Monitor, *arguments: str) -> str:
    """What a command prints."""
    arguments = (*arguments, "--config", str(monitor.config))
    done = await asyncio.to_thread(Forks.shared().run, *arguments, cwd=monitor.folder, env=monitor.environment)
    assert done.returncode == 0
    return done.stdout


def buttons(slack: FakeSlack, action: str) -> list[str]:
    """Messages (their ts) with a button whose id begins so."""
    return [ts for ts, names in _buttons(slack) if any(name.startswith(action) for name in names)]


def _buttons(slack: FakeSlack) -> list[tuple[str, Sequence[str]]]:
    return [
        (
            ts,
            [
                one["action_id"]
                for block in content.get("blocks", ())
                if block["type"] == "actions"
                for one in block["elements"]
            ],
        )
        for (_, ts), content in slack.messages.items()
    ]
