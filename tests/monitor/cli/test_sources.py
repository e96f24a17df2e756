from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from monitor.config.config import load
from monitor.domain.model import Position
from monitor.intake.ledger import STATE, Ledger, place
from monitor.store import Store
from tests.monitor.cli.conftest import Command


@pytest.fixture
def database(config: Path) -> None:
    """As a daemon leaves it that lost something."""

    async def fill() -> None:
        settings = load(config)
        [source] = settings.sources
        settings.state_dir.mkdir(exist_ok=True)
        ledger = Ledger(source.name)
        ledger.restore({})
        ledger.enter("truncated", 1234, "/var/log/a\x1b.log", "bytes", time.time() - 90)
        ledger.enter("truncated", 6, "/var/log/b.log", "bytes", time.time())
        ledger.enter("session_lost", 0, "", "messages", time.time())
        state = {"kept": time.time() - 7300, "lag": 1.5, "problems": {"/x.log": "cannot be read"}}
        async with await Store.open(settings.state_dir / "state.db") as store:
            await store.commit((), [*ledger.changed(), Position(place(source.name), STATE, state)])
            await store.flush()

    asyncio.run(fill())


def test_each_source_with_what_was_lost(monitor: Command, database: None) -> None:
    [row] = json.loads(monitor("sources", "--format", "json").stdout)
    assert row["type"] == "file"
    assert row["lag_seconds"] == 1.5
    assert row["problems"] == {"/x.log": "cannot be read"}
    assert {(loss["reason"], loss["count"], loss["unknown"]) for loss in row["lost"]} == {
        ("truncated", 1234, 0),
        ("truncated", 6, 0),
        ("session_lost", 0, 1),
    }
    text = monitor("sources").stdout
    assert "2 h ago" in text
    assert "truncated: 1,240 bytes" in text
    assert "session_lost: unknown" in text
    assert "/x.log: cannot be read" in text
    every = monitor("sources", "--losses").stdout
    assert "\x1b" not in every
    assert every.index("/var/log/b.log") < every.index("/var/log/a")


def test_before_the_first_start_nothing_is_known(monitor: Command, config: Path) -> None:
    done = monitor("sources")
    assert done.returncode == 0
    assert "there is no database" in done.stderr
    assert "nothing known of" in done.stdout
    assert monitor("sources", "--losses").stdout == "nothing known of was lost\n"


def test_without_sources_it_says_so(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[monitor]\nstate_dir = "state"\n')
    assert "no sources" in monitor("sources").stdout
