"""What comes back from the process that reads an entry."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import string
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.inventory import query as asking
from monitor.inventory.managers import load_manager
from monitor.inventory.managers.base import ManagerConfig
from monitor.inventory.query import ask

VALUE = "".join(random.Random(12).choices(string.ascii_letters + string.digits, k=40))
KEY = b"k" * 32


def entry(folder: Path, **given: object) -> ManagerConfig:
    """As it comes from a configuration in that folder."""
    given = {"name": "e", **(given or {"type": "dotenv", "path": [".env"], "owner": "ops"})}
    made: ManagerConfig = load_manager(str(given["type"])).Config.model_validate(given, context={"folder": folder})
    return made


async def test_prints_and_anchors_come_back_and_what_is_said_is_masked(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"KEY={VALUE}\nMODE=x\n")
    kept, anchors, error = await ask(entry(tmp_path), tmp_path, KEY, lambda text: text.replace("ops", "…"))
    assert error == ""
    assert [(one.name, one.owner, len(one.prints)) for one in kept] == [("KEY", "…", 1), ("MODE", "…", 0)]
    assert list(anchors) == [kept[0].prints[0].fingerprint]


async def test_no_code_is_taken_from_the_folder_it_is_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(f"KEY={VALUE}\n")
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("orjson.py", "monitor.py", "asyncio.py"):
        (tree / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nraise SystemExit\n")
    monkeypatch.chdir(tree)
    kept, _, error = await ask(entry(tmp_path), tmp_path, KEY, str)
    assert (error, [one.name for one in kept]) == ("", ["KEY"])
    assert not (tmp_path / "ran").exists()


async def test_one_that_ends_early_or_cannot_be_read_says_so(tmp_path: Path) -> None:
    _, anchors, error = await ask(entry(tmp_path), tmp_path, KEY, str)
    assert (anchors, "no such file" in error) == ({}, True)
    unknown = entry(tmp_path).model_copy(update={"type": "none"})
    assert await ask(unknown, tmp_path, KEY, str) == ([], {}, "inventory e: the process that reads it ended early")


async def test_one_that_does_not_even_listen_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, "true")
    large = entry(tmp_path).model_copy(update={"tags": ("x" * (1 << 20),)})
    assert await ask(large, tmp_path, KEY, str) == ([], {}, "inventory e: the process that reads it ended early")


def instead(monkeypatch: pytest.MonkeyPatch, *command: str) -> list[asyncio.subprocess.Process]:
    """That command is what `ask` starts from now on; the list gets the process."""
    started: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def other(*_: object, **more: object) -> asyncio.subprocess.Process:
        started.append(await start(*command, **more))  # type: ignore[arg-type]
        return started[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", other)
    return started


async def until(holds: Callable[[], object]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


async def given_up(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_leaves_no_process_behind_when_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_GRACE", 0.05)
    started = instead(monkeypatch, "sh", "-c", f"trap '' TERM; touch {tmp_path}/up; exec sleep 600")
    task = asyncio.create_task(ask(entry(tmp_path), tmp_path, KEY, str))
    await until(lambda: started and (tmp_path / "up").exists())
    await given_up(task)
    assert started[0].returncode == -signal.SIGKILL


async def test_it_may_say_what_is_left_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_GRACE", 60.0)
    last = "head -c 1000000 /dev/zero; exit 7"
    started = instead(monkeypatch, "sh", "-c", f"trap '{last}' TERM; touch {tmp_path}/up; while :; do sleep 0.01; done")
    task = asyncio.create_task(ask(entry(tmp_path), tmp_path, KEY, str))
    await until(lambda: started and (tmp_path / "up").exists())
    await given_up(task)
    assert started[0].returncode == 7


HANGING = """#!/bin/sh
trap '' TERM
sleep 600 &
read -r _ _ _ reaper _ < /proc/$PPID/stat
read -r _ _ _ reader _ < /proc/$reaper/stat
echo $reader $PPID $$ $! "$HOME" > {folder}/new && mv {folder}/new {folder}/pids
wait
"""


@pytest.fixture
def hanging(tmp_path: Path) -> Path:
    """A folder with an `op` that ignores SIGTERM and never answers."""
    (tmp_path / "op").write_text(HANGING.format(folder=tmp_path))
    (tmp_path / "op").chmod(0o755)
    (tmp_path / "token").write_text("ops_canary")
    return tmp_path


def onepassword(folder: Path) -> ManagerConfig:
    return entry(folder, type="onepassword", token="file:token", program=str(folder / "op"))


async def hung(folder: Path) -> tuple[int, tuple[int, ...], Path]:
    """The process that reads (its child is the reaper), `op` with those before and after it, and its folder."""
    await until((folder / "pids").exists)
    reader, *program, home = (folder / "pids").read_text().split()
    assert Path(home).is_dir()
    return int(reader), tuple(map(int, program)), Path(home)


def gone(pid: int) -> bool:
    """Also a zombie, where nobody takes in orphans."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return "(zombie)" in Path(f"/proc/{pid}/status").read_text()
    return True


async def test_no_program_that_was_asked_outlives_one_that_nobody_waits_for(hanging: Path) -> None:
    task = asyncio.create_task(ask(onepassword(hanging), hanging, KEY, str))
    reader, program, home = await hung(hanging)
    await given_up(task)
    assert gone(reader)
    assert not home.exists()
    await until(lambda: all(map(gone, program)))


async def test_no_program_that_was_asked_outlives_one_that_is_killed(hanging: Path) -> None:
    task = asyncio.create_task(ask(onepassword(hanging), hanging, KEY, str))
    reader, program, home = await hung(hanging)
    os.kill(reader, signal.SIGKILL)
    assert await task == ([], {}, "inventory e: the process that reads it ended early")
    await until(lambda: all(map(gone, program)))
    await until(lambda: not home.exists())


async def test_one_that_says_nothing_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_SPARE", 0.0)
    monkeypatch.setattr(asking, "_GRACE", 0.05)
    instead(monkeypatch, "sleep", "600")
    hurried = entry(tmp_path).model_copy(update={"timeout": 0.05})
    _, _, error = await ask(hurried, tmp_path, KEY, str)
    assert error == "inventory e: reading it took longer than 0 s"
