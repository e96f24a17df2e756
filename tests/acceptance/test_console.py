"""The console of a daemon that ends, or is killed, under open pages."""

from __future__ import annotations

import asyncio
import contextlib
import html
import re
import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from tests.acceptance.harness import Monitor, Planter
from tests.fakes.forks import Forks
from tests.fakes.ports import free_port
from tests.fakes.visitors import PASSWORD, Browser

CONFIG = """
[[sources]]
name = "services"
type = "file"
include = ["{folder}/log/*.log"]
start_at = "beginning"
[[sinks]]
name = "out"
type = "console"
"""


def daemon(folder: Path, leaks: int, more: str = "") -> Monitor:
    (folder / "log").mkdir()
    (folder / "log" / "app.log").write_bytes(Planter(33).lines(leaks))
    monitor = Monitor(folder, more + CONFIG.format(folder=folder))
    text = monitor.config.read_text()
    monitor.config.write_text(text.replace('"127.0.0.1:0"', f'"127.0.0.1:{free_port()}"'))
    return monitor


async def test_the_end_waits_for_no_page_that_is_open(tmp_path: Path) -> None:
    monitor = daemon(tmp_path, 1)
    await monitor.start()
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(None)))
        streams = [await stack.enter_async_context(session.get(f"{monitor.address}/events")) for _ in range(20)]
        for stream in streams:
            await stream.content.readuntil(b"}\n\n")
        assert await monitor.terminate() == 0
        for stream in streams:
            await stream.content.read()  # to its end
    assert "the end took too long" not in monitor.errors
    assert '"event": "stopped"' in monitor.errors


async def test_many_are_changed_once_each_though_the_monitor_is_killed_meanwhile(tmp_path: Path) -> None:
    leaks = 300
    monitor = daemon(tmp_path, leaks, "[console]\nsign_in = true\n")
    command = ("users", "add", "ana", "--role", "responder", "--config", str(monitor.config))
    done = Forks.shared().run(*command, cwd=tmp_path, env=monitor.environment, stdin=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    await monitor.start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        browser = Browser(monitor.address, session)
        await browser.sign_in("ana")
        while f"{leaks} incidents" not in (listed := await browser.get("/incidents?state=open")):
            await asyncio.sleep(0.05)
        sent = {"verb": "ack", "scope": "all", "list": "/incidents?state=open"}
        look = await browser.post("/incidents/bulk", {**hidden(listed), **sent}, 200)
        again = {**hidden(look), "scope": "seen"}
        pressed = asyncio.create_task(browser.post("/incidents/bulk", again))
        async with aiohttp.ClientSession(headers={"Cookie": session_of(browser)}) as other:
            while "acknowledged" not in await count(other, browser.url):
                await asyncio.sleep(0.01)
        await monitor.kill()
        await asyncio.wait([pressed])
        if not pressed.cancelled():
            pressed.exception()  # the connection may have been cut
        await monitor.start()
        place = await browser.post("/incidents/bulk", again)
        while "to go" in (page := await browser.get(place)):
            await asyncio.sleep(0.05)
        assert f"{leaks} of {leaks} acknowledged." in page
    await monitor.kill()
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "state.db")) as database:
        entries = "SELECT count(*), count(DISTINCT incident) FROM audit WHERE action = 'acknowledged' AND actor = 'ana'"
        assert database.execute(entries).fetchone() == (leaks, leaks)


SILENT = """
[[sinks]]
name = "nobody"
type = "webhook"
url = "http://127.0.0.1:1/"
"""


async def test_a_drill_that_the_monitor_is_killed_under_is_half_done_and_another_may_follow(tmp_path: Path) -> None:
    monitor = daemon(tmp_path, 1, f"[console]\nsign_in = true\n{SILENT}")
    command = ("users", "add", "ana", "--role", "admin", "--config", str(monitor.config))
    done = Forks.shared().run(*command, cwd=tmp_path, env=monitor.environment, stdin=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    await monitor.start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        browser = Browser(monitor.address, session)
        await browser.sign_in("ana")
        drill = {"source": "services", "rule": "github-pat"}
        await browser.form("/drills", "/drills", drill)
        while "under way: routed" not in await browser.get("/drills"):  # on to a sink that takes nothing
            await asyncio.sleep(0.05)
        await monitor.kill()
        with contextlib.closing(sqlite3.connect(tmp_path / "state" / "state.db")) as database:
            database.execute("UPDATE drill_runs SET alive = alive - 61")  # as a minute later
            database.commit()
        await monitor.start()
        page = await browser.get("/drills")
        assert "half done: nobody follows it any more, the last that came is routed" in page
        answer = await browser.form("/drills", "/drills", drill)
        assert "Planted in" in (page := await browser.get(answer))
        assert "half done" in page
        assert "under way" in page
        assert "is under way since" in await browser.get(await browser.form("/drills", "/drills", drill))
        assert await monitor.terminate() == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "state.db")) as database:
        runs = database.execute("SELECT broken, ended IS NULL FROM drill_runs ORDER BY at").fetchall()
        assert runs == [("", 1), ("it was cut short", 0)]
        said = "SELECT action FROM audit WHERE actor = 'ana' AND action LIKE 'drill%' ORDER BY seq"
        assert [row[0] for row in database.execute(said)] == ["drill_begun", "drill_begun", "drill_over"]
    (left,) = (tmp_path / "log").glob("exposure-drill-*")
    assert left.is_file(), "of the one that was killed; the page says so"


def hidden(page: str) -> dict[str, str]:
    (form,) = re.findall(r'(?s)<form[^>]* method="post" action="/incidents/bulk">(.*?)</form>', page)
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form)
    return {name: html.unescape(value) for name, value in found}


def session_of(browser: Browser) -> str:
    return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


async def count(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(f"{url}/incidents.csv?state=acknowledged") as answer:
        return (await answer.text()).partition("\n")[2]
