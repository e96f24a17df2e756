"""What comes back from the process that reads an entry."""

from __future__ import annotations

import random
import string
from pathlib import Path

import pytest

from monitor.inventory.ask import ask

VALUE = "".join(random.Random(12).choices(string.ascii_letters + string.digits, k=40))
CONFIG = '[monitor]\nstate_dir = "state"\n[[inventory]]\nname = "e"\ntype = "dotenv"\npath = [".env"]\nowner = "ops"\n'


async def test_prints_and_anchors_come_back_and_what_is_said_is_masked(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    (tmp_path / ".env").write_text(f"KEY={VALUE}\nMODE=x\n")
    kept, anchors, error = await ask(path, "e", lambda text: text.replace("ops", "…"))
    assert error == ""
    assert [(one.name, one.owner, len(one.prints)) for one in kept] == [("KEY", "…", 1), ("MODE", "…", 0)]
    assert list(anchors) == [kept[0].prints[0].fingerprint]


async def test_one_that_ends_early_or_cannot_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    _, anchors, error = await ask(path, "e", str)
    assert (anchors, "no such file" in error) == ({}, True)
    path.write_text("[[")
    assert await ask(path, "e", str) == ([], {}, "inventory e: the process that reads it ended early")


async def test_it_leaves_no_process_behind_when_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    started: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def sleeping(*_: object, **more: object) -> asyncio.subprocess.Process:
        started.append(await start("sleep", "600", **more))  # type: ignore[arg-type]
        return started[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", sleeping)
    task = asyncio.create_task(ask(tmp_path / "config.toml", "e", str))
    while not started:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert started[0].returncode is not None
