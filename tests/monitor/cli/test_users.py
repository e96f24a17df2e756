from __future__ import annotations

import asyncio
import json
import os
import pwd
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.accounts.passwords import check
from monitor.store import Store

Command = Callable[..., subprocess.CompletedProcess[str]]

PASSWORD = "correct horse battery"


def stored(folder: Path) -> str:
    async def look() -> str:
        async with await Store.open(folder / "state/state.db", repairs=False) as store:
            [user] = await store.users.list()
            assert await check(user.password, PASSWORD) or await check(user.password, PASSWORD + "!")
            return user.password

    return asyncio.run(look())


def test_added_listed_changed_disabled_and_the_history_of_it(monitor: Command, config: Path) -> None:
    added = monitor("users", "add", "Ana", "--role", "responder", stdin=f"{PASSWORD}\n")
    assert (added.returncode, added.stdout) == (0, "ana is added: responder\n")
    assert "[console] of the configuration has sign_in = true" in added.stderr
    assert stat.S_IMODE((config.parent / "state/state.db").stat().st_mode) == 0o600
    before = stored(config.parent)
    again = monitor("users", "add", "ana", stdin=PASSWORD)
    assert (again.returncode, "there is a user ana already" in again.stderr) == (1, True)
    with config.open("a") as file:
        file.write('[console]\nsign_in = true\n[console.people]\nana = { name = "ana.k", role = "admin" }\n')
    [row] = json.loads(monitor("users", "list", "--format", "json").stdout)
    assert (row["name"], row["known_as"], row["role"], row["disabled"]) == ("ana", "ana.k", "admin", False)
    assert monitor("users", "role", "ana", "viewer").stdout == "ana is viewer\n"
    assert monitor("users", "role", "ana", "viewer").stdout == "ana is viewer already\n"
    assert "another password" in monitor("users", "password", "ana", stdin=f"{PASSWORD}!\n").stdout
    assert stored(config.parent) != before
    assert monitor("users", "sign-out", "ana").stdout == "0 sessions have ended\n"
    assert monitor("users", "disable", "ana").stdout == "ana is disabled\n"
    listed = monitor("users", "list")
    assert ("disabled" in listed.stdout, listed.stderr) == (True, "")
    assert monitor("users", "enable", "ana").stdout == "ana is enabled\n"
    me = pwd.getpwuid(os.getuid()).pw_name
    history = json.loads(monitor("users", "list", "--history", "--format", "json").stdout)
    assert [(one["change"], one["about"], one["by"]) for one in history] == [
        ("added", "ana, responder", me),
        ("role", "ana, viewer", me),
        ("password", "ana", me),
        ("disabled", "ana", me),
        ("enabled", "ana", me),
    ]
    everything = b"".join(path.read_bytes() for path in (config.parent / "state").glob("state.db*"))
    assert PASSWORD.encode() not in everything
    assert monitor("incidents", "verify").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"),
    [
        (["add", "ana"], "short", 2, "12 to 256 characters"),
        (["add", "a b"], PASSWORD, 2, "a name is 1 to 64"),
        (["add", "ana", "--role", "root"], PASSWORD, 2, "viewer"),
        (["role", "ana", "root"], "", 2, "viewer"),
        (["password", "bob"], PASSWORD, 1, "there is no"),
        (["disable", "bob"], "", 1, "there is no"),
    ],
)
def test_what_cannot_be_says_why(
    monitor: Command, config: Path, arguments: list[str], stdin: str, code: int, message: str
) -> None:
    answer = monitor("users", *arguments, stdin=stdin)
    assert (answer.returncode, message in answer.stderr) == (code, True), answer.stderr
    assert PASSWORD not in answer.stderr + answer.stdout


def test_without_a_database_there_are_none(monitor: Command, config: Path) -> None:
    assert "there are no users" in monitor("users", "list").stdout
    assert monitor("users", "list", "--history").returncode == 0
