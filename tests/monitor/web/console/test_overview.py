from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from monitor.config.config import parse
from monitor.delivery import SinkStats
from monitor.store import StoreError
from monitor.web.console import kept as module
from tests.fakes.console import Pages, finding
from tests.monitor.web.console.test_pages import text_of
from tests.monitor.web.console.test_sinks import CONFIG
from tests.monitor.web.console.test_sources import EVIL, source


def words_of(page: str) -> str:
    return " ".join(text_of(page).split())


async def test_what_is_open_and_late_and_how_long_it_took(pages: Pages) -> None:
    began = time.time() - 86_400
    await pages.store.commit(
        [finding(n, name=EVIL, time=began, severity="high" if n else "critical") for n in range(12)]
    )
    (worst,) = await pages.store.incidents.find(severities=["critical"])
    await pages.store.incidents.transition(worst.id, "ack", actor="ada")
    page = await pages.get("/overview")
    text = words_of(page)
    for words in ("critical 0 1", "high 11 0", "12 in all", "half within 24 h, 90 % within 24 h, of 1", "288 h"):
        assert words in text, words
    assert EVIL not in page
    assert "\u202e" not in page


async def test_they_are_kept_for_a_while(pages: Pages) -> None:
    assert "Everything is acknowledged." in await pages.get("/overview")
    await pages.store.commit([finding(1)])
    assert "Everything is acknowledged." in await pages.get("/overview")


async def test_what_is_in_trouble_is_named_first(pages: Pages) -> None:
    pages.config = parse(CONFIG, Path("config.toml"))
    pages.standings += [source("app"), source("late")]
    pages.snapshot.degraded["late", "/a.log"] = f"denied {EVIL}"
    pages.snapshot.sinks = {"pager": SinkStats(failing=3, last_error="503"), "chat": SinkStats(sent=1)}
    page = await pages.get("/overview")
    text = words_of(page)
    assert "late : /a.log: denied <script>" in text
    assert "pager : 3 failures in a row: 503" in text
    assert "chat :" not in text
    assert EVIL not in page


async def test_a_database_that_does_not_answer_leaves_what_was_counted(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FRESH", 0.0)
    monkeypatch.setattr(module, "_SHARE", 0.0)
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    go = asyncio.Event()

    async def hang(*_: object) -> None:
        await go.wait()
        raise StoreError("state.db: database is locked")

    with monkeypatch.context() as broken:
        broken.setattr(pages.store, "read", hang)
        assert "There are no figures: they are being counted" in words_of(await pages.get("/overview"))
        go.set()
        await asyncio.sleep(0)
        assert "There are no figures: state.db: database is locked" in words_of(await pages.get("/overview"))
    monkeypatch.setattr(module, "_PATIENCE", 60.0)
    monkeypatch.setattr(module, "_GLANCE", 60.0)
    assert "0 in all" in words_of(await pages.get("/overview"))
    monkeypatch.setattr(pages.store, "read", hang)
    assert "These figures are not of now: state.db" in (again := words_of(await pages.get("/overview")))
    assert "0 in all" in again


async def test_nobody_waits_for_figures_while_there_are_some_of_a_moment_ago(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_FRESH", "_SHARE", "_GLANCE"):
        monkeypatch.setattr(module, name, 0.0)
    monkeypatch.setattr(module, "_PATIENCE", 60.0)
    assert "0 in all" in words_of(await pages.get("/overview"))
    await pages.store.commit([finding(1)])
    go, asked = asyncio.Event(), 0
    read = pages.store.read

    async def slow(run: Any, kept: Any = None) -> object:
        nonlocal asked
        asked += 1
        await go.wait()
        return await read(run, kept)

    monkeypatch.setattr(pages.store, "read", slow)
    for _ in range(3):
        text = words_of(await pages.get("/overview"))
        assert "0 in all" in text
        assert "not of now" not in text, "it says when they were counted"
    assert asked == 1
    go.set()
    monkeypatch.setattr(module, "_GLANCE", 60.0)
    assert "1 in all" in words_of(await pages.get("/overview"))
