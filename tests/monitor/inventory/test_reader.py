"""An entry read to its end, or as far as it goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from detectors.rules.template import expand
from monitor.clients.client import ServiceError
from monitor.inventory import reader as reading
from monitor.inventory.held import HeldSecret
from monitor.inventory.keep import Enrolled
from monitor.inventory.managers.aws import AwsConfig
from monitor.inventory.managers.dotenv import DotenvConfig
from monitor.store import Store
from tests.fakes.server import FakeServer

VALUE = expand("{alnum:30}", 6)


class Broken:
    """Gives one secret, then fails."""

    error: Exception = ServiceError("inventory e: it is down")

    def __init__(self, config: Any) -> None:
        self.closed = False

    async def held(self) -> AsyncIterator[HeldSecret]:
        yield HeldSecret("A", VALUE.encode())
        raise self.error

    async def doctor(self) -> list[str]:
        raise self.error

    async def close(self) -> None:
        self.closed = True


def entry(tmp_path: Path) -> DotenvConfig:
    return DotenvConfig(name="e", type="dotenv", path=(str(tmp_path / ".env"),))


async def test_what_came_before_a_failure_is_taken_and_no_error_quotes_a_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "load_manager", lambda kind: Broken)
    for error, said in ((ServiceError("it is down"), "it is down"), (ValueError(VALUE), "could not be read")):
        monkeypatch.setattr(Broken, "error", error)
        found: list[Enrolled] = []
        why = await reading.read(entry(tmp_path), b"k" * 32, str, found.append)
        assert said in why
        assert VALUE not in why
        assert [kept.name for kept, _ in found] == ["A"]
        [fault] = await reading.faults(entry(tmp_path))
        assert said in fault
        assert VALUE not in fault


async def test_a_whole_one_is_read_without_a_word(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"A={VALUE}\nPORT=1\n")
    found: list[Enrolled] = []
    assert await reading.read(entry(tmp_path), b"k" * 32, str, found.append) == ""
    assert [(kept.name, bool(kept.refused), [value for _, value in values]) for kept, values in found] == [
        ("A", False, [VALUE.encode()]), ("PORT", True, []),
    ]  # fmt: skip


class _Rotates(Broken):
    """Of an entry that may have new values made."""

    def __init__(self, config: Any) -> None:
        self.who = config.prefix

    async def doctor(self) -> list[str]:
        return [f"{self.who} reads too little"]

    async def fit(self) -> list[str]:
        return [f"{self.who} rotates nothing"]


async def test_the_access_of_who_rotates_is_looked_at_with_its_own_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"name": "e", "type": "aws", "region": "us-east-1", "prefix": "x", "rotate": {"role_arn": ""}}
    config = AwsConfig.model_validate(given)
    monkeypatch.setattr(reading, "load_manager", lambda kind: _Rotates)
    monkeypatch.setattr("monitor.inventory.managers.load_manager", lambda kind: _Rotates)
    assert await reading.faults(config) == ["x reads too little", "rotate: x rotates nothing"]
    assert await reading.faults(config.model_copy(update={"rotate": None})) == ["x reads too little"]


class Amazon(FakeServer):
    """Secrets Manager with two pages of ten secrets; what is `lost`: the pages from there on, as if there were none."""

    lost = 2

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        given = await request.json()
        if request.headers["X-Amz-Target"] != "secretsmanager.ListSecrets":
            return web.json_response({"SecretString": expand("{alnum:30}", given["SecretId"])})
        page = int(given.get("NextToken", 0))
        names = range(10 * page, 10 * page + 10) if page < self.lost else ()
        stages = {"v": ["AWSCURRENT"]}
        listed = [{"ARN": f"arn:{one}", "Name": f"S{one}", "SecretVersionsToStages": stages} for one in names]
        onward = {"NextToken": "1"} if not page and names else {}
        return web.json_response({"SecretList": listed, **onward})


@pytest.mark.parametrize("lost", [0, 1])
async def test_a_manager_that_knows_of_nothing_for_a_while_retires_nothing(tmp_path: Path, lost: int) -> None:
    async with Amazon() as server, await Store.open(tmp_path / "state.db") as store:
        (tmp_path / "key").write_text("k" * 20)
        login = {"access_key_id": f"file:{tmp_path}/key", "secret_access_key": f"file:{tmp_path}/key"}
        given = {"name": "a", "type": "aws", "region": "us-east-1", "server": server.url, **login}
        config = AwsConfig.model_validate(given)
        assert (await reading.sync(store, config, b"k" * 32, str))[0].added == 20
        server.lost = lost
        told, error = await reading.sync(store, config, b"k" * 32, str)
        assert (told.gone, "missing all at once" in error) == (0, True)
        server.lost = 2
        assert (await reading.sync(store, config, b"k" * 32, str))[1] == ""
        server.lost = lost
        told, error = await reading.sync(store, config, b"k" * 32, str, accept=True)
        assert (told.gone, error) == (20 - 10 * lost, "")


class Hanging(Broken):
    """Gives one secret, and answers no more, not even to log out."""

    async def held(self) -> AsyncIterator[HeldSecret]:
        yield HeldSecret("A", VALUE.encode())
        await asyncio.Event().wait()

    async def doctor(self) -> list[str]:
        await asyncio.Event().wait()
        return []

    async def close(self) -> None:
        await asyncio.Event().wait()


async def test_a_manager_that_hangs_is_given_up_and_what_it_gave_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "load_manager", lambda kind: Hanging)
    monkeypatch.setattr(reading, "_FAREWELL", 0.01)
    config = entry(tmp_path).model_copy(update={"timeout": 0.01})
    found: list[Enrolled] = []
    why = await reading.read(config, b"k" * 32, str, found.append)
    assert why.startswith("inventory e: it was not read to its end within 0 s: its manager does not answer")
    assert [kept.name for kept, _ in found] == ["A"]
    assert await reading.faults(config) == [why]
