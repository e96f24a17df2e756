"""An entry read to its end, or as far as it goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from detectors.rules.template import expand
from monitor.inventory import read as reading
from monitor.inventory.held import Held, ManagerError
from monitor.inventory.keep import Enrolled
from monitor.inventory.managers.aws import AwsConfig
from monitor.inventory.managers.dotenv import DotenvConfig

VALUE = expand("{alnum:30}", 6)


class Broken:
    """Gives one secret, then fails."""

    error: Exception = ManagerError("inventory e: it is down")

    def __init__(self, config: Any) -> None:
        self.closed = False

    async def held(self) -> AsyncIterator[Held]:
        yield Held("A", VALUE.encode())
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
    for error, said in ((ManagerError("it is down"), "it is down"), (ValueError(VALUE), "could not be read")):
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
