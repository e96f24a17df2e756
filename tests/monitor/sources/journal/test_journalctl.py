from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.sources.journal.config import JournalConfig
from monitor.sources.journal.journalctl import JournalError, boot, call, environment, filters, said
from tests.fakes.journal import Journal


def config(**keys: object) -> JournalConfig:
    return JournalConfig.model_validate({"name": "journal", "type": "journal", **keys})


def test_what_it_is_called_with() -> None:
    found = call(config(units=["web", "db.socket"], priority="err"), ["/j/a@1.journal", "/j/[odd]*\\.journal"])
    assert found[1:4] == ["--quiet", "--output=export", "--no-pager"]
    assert "--file=/j/a@1.journal" in found
    assert "--file=/j/\\[odd\\]\\*\\\\.journal" in found, "a pattern to journalctl"
    assert "--merge" in found
    assert found[-3:] == ["--unit=web.service", "--unit=db.socket", "--priority=err"]
    assert filters(config(units=["web@*", "db"])) == [], "patterns are ours to match"


async def test_the_boot_that_is_meant(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    here = {"directory": str(journal.folder)}
    assert await boot(config(boot="-1", **here)) is None
    for letter in "ab":
        journal.write(b"one", _BOOT_ID=letter * 32)
        await journal.settle(letter)
    assert await boot(config(boot="-1", **here)) == "a" * 32
    assert "--merge" not in call(config(boot="a" * 32, **here), [])


def test_what_it_sees_and_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_TOKEN", "abc")
    assert "SOME_TOKEN" not in environment()
    assert said(b"Failed to open.\n\n  It is odd. \n") == "Failed to open. It is odd."
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JournalError, match="not on PATH"):
        call(config(), [])
    assert os.environ["PATH"] == str(tmp_path)
