from __future__ import annotations

import asyncio
import os
import pwd
from typing import Any

import aiohttp
import pytest

from monitor.daemon import status as module
from monitor.store import StoreError
from tests.fakes.intake import until
from tests.fakes.server import Fault
from tests.fakes.setup import Setup, incidents, running, shown
from tests.fakes.visitors import form_in
from tests.fakes.webhook import FakeWebhook


async def ask(address: str | None) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{address}/status") as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def test_what_a_daemon_says_of_itself(site: Setup, hook: FakeWebhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FRESH", 0.0)
    daemon = site.daemon()
    async with running(daemon):
        values = [site.plant(seed) for seed in range(3)]
        await until(lambda: len(incidents(hook)) == 3)
        daemon.running.health.pace.note(0.0, {})
        found = await ask(daemon.address)
        [source], [rule], [sink] = found["sources"], found["rules"], found["sinks"]
        assert (source["name"], source["position"], source["behind_bytes"]) == ("app", "1 file", 0)
        assert source["bytes"] == found["scan"]["bytes"] == site.log.stat().st_size
        assert (rule["rule"], rule["matches"]) == ("acme-acme", 3)
        assert rule["looks"]
        assert rule["seconds"] > 0
        assert (sink["name"], sink["type"], sink["failing"]) == ("hook", "webhook", 0)
        assert found["daemon"]["phase"] == "watching"
        assert found["daemon"]["problems"] == {}
        pages = [await shown(daemon, path) for path in ("/sources", "/sources/app", "/sinks", "/outbox")]
        assert all("As of" in page for page in pages)
        assert '<a href="/sources/app">app</a>' in pages[0]
        assert "works" in pages[2]
        assert await daemon._try_sink("hook", "ada") == ""
        assert "Sent by ada on" in hook.payloads[-1]["text"]
        with pytest.raises(LookupError):
            await daemon._try_sink("nothing", "ada")
        assert not [value for value in values if value in str((found, pages))]


async def test_a_database_in_trouble_holds_up_no_answer(
    site: Setup, hook: FakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FRESH", 0.0)
    monkeypatch.setattr(module, "_PATIENCE", 0.5)
    daemon = site.daemon()
    async with running(daemon):
        site.plant(1)
        await until(lambda: incidents(hook))
        asked = asyncio.Event()

        async def hang() -> Any:
            asked.set()
            await asyncio.Event().wait()

        async def fail() -> Any:
            asked.set()
            raise StoreError("locked")

        positions = daemon.running.site.store.positions
        for problem in (fail, hang):
            asked.clear()
            monkeypatch.setattr(type(positions), "all", lambda _, problem=problem: problem())
            [source] = (await ask(daemon.address))["sources"]
            assert asked.is_set()
            assert source["bytes"] == site.log.stat().st_size, "counters are known all the same"


async def test_who_is_at_the_socket_tries_a_sink_and_what_waits_and_the_history_names_them(
    site: Setup, hook: FakeWebhook
) -> None:
    hook.faults += [Fault(status=503, headers={"Retry-After": "3000"})] * 2
    socket = site.root / "web"
    site.configure(listen=f"unix:{socket}")
    daemon = site.daemon()
    async with running(daemon), aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session:

        async def page(path: str, fields: dict[str, str] | None = None) -> str:
            ask = session.get if fields is None else session.post
            async with ask(f"http://localhost{path}", **({} if fields is None else {"data": fields})) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.text()

        site.plant(1)
        store = daemon.running.site.store
        await until(lambda: hook.requests)
        while not (waiting := [one for one in await store.outbox.list(states=["pending"]) if one.error]):
            await asyncio.sleep(0.02)
        shown = await page(f"/outbox/{waiting[0].id}")
        assert "503" in shown
        assert "It is tried at once." in await page(f"/outbox/{waiting[0].id}/retry", form_in(shown))
        while len(hook.requests) < 2:
            await asyncio.sleep(0.02)
        assert "hook took the test" in await page("/sinks/hook/test", form_in(await page("/sinks")))
        (incident,) = await store.incidents.find()
        (retried,) = [one for one in await store.incidents.history(incident.id) if one.action == "alert_retried"]
        assert (retried.actor, retried.note) == (pwd.getpwuid(os.getuid()).pw_name, "to hook")
        assert "alert retried" in await page("/trail")
