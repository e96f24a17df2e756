from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.config.config import load
from monitor.routing.routes import Policy
from monitor.store import Store
from tests.fakes.delivery import Recorder, finding, refuse, until

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def database(config: Path) -> Path:
    """Two notifications for `screen`, one of them dead, and two that wait for `hook`."""

    async def fill() -> Path:
        settings = load(config)
        settings.state_dir.mkdir(exist_ok=True)
        path = settings.state_dir / "state.db"
        async with await Store.open(path, Policy(sinks=("screen", "hook"))) as store:
            await store.commit([finding("a"), finding("b", 1)])
            [first] = await store.outbox.lease("screen", "me:1:x", 60)
            await store.outbox.give_up(first.id, "HTTP 404", None)
        return path

    return asyncio.run(fill())


def listed(monitor: Command, *arguments: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(monitor("outbox", "list", "--format", "json", *arguments).stdout)
    return rows


def test_what_is_undone_is_listed_and_narrowed(monitor: Command, database: Path) -> None:
    assert len(listed(monitor)) == 4
    [dead] = listed(monitor, "--state", "dead")
    assert (dead["sink"], dead["error"], dead["reason"]) == ("screen", "HTTP 404", "new")
    assert len(listed(monitor, "--sink", "hook")) == 2
    assert listed(monitor, "--older", "1h") == []
    text = monitor("outbox", "list").stdout
    assert str(dead["id"])[:12] in text
    assert "HTTP 404" in text
    assert monitor("outbox", "list", "--older", "soon").returncode == 2


def test_retry_and_discard_by_id_and_by_sink(monitor: Command, database: Path) -> None:
    [dead] = listed(monitor, "--state", "dead")
    name = str(dead["id"])
    assert json.loads(monitor("outbox", "show", name[:10], "--format", "json").stdout)["id"] == name
    assert monitor("outbox", "retry", name[:10]).stdout == "1 to be tried at once\n"
    assert listed(monitor, "--state", "dead") == []
    assert monitor("outbox", "retry", "--sink", "hook").stdout == "2 to be tried at once\n"
    assert monitor("outbox", "discard", name).stdout == "1 discarded\n"
    assert len(listed(monitor)) == 3
    assert monitor("outbox", "retry").returncode == 2
    answer = monitor("outbox", "show", name)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "`monitor outbox list`" in answer.stderr


async def test_the_running_monitor_sends_at_once_what_is_asked_for(
    monitor: Command, config: Path, tmp_path: Path
) -> None:
    settings = load(config)
    settings.state_dir.mkdir(exist_ok=True)
    hook = Recorder(refuse)
    async with await Store.open(settings.state_dir / "state.db") as store:
        from dataclasses import replace

        from monitor.delivery.channel import Patience
        from tests.fakes.delivery import delivering_with

        patience = replace(Patience(), first=3000.0, longest=3000.0)
        async with delivering_with(store, {"hook": hook}, patience=patience):
            await store.commit([finding("a")])
            await until(lambda: hook.tried)
            hook.answer = None
            answer = await asyncio.to_thread(monitor, "outbox", "retry", "--sink", "hook")
            assert answer.stdout == "1 to be tried at once\n"
            await until(lambda: hook.got)
