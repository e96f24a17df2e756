from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from detectors.fingerprint import fingerprint
from detectors.rules.template import expand
from monitor.config.config import load
from monitor.drill.follow import Follower, Hop
from monitor.drill.plant import DrillError, spot
from monitor.routing.routes import Policy
from monitor.site import open_store
from monitor.store import Store
from tests.acceptance.harness import KEY, Monitor
from tests.fakes.journald import journald
from tests.fakes.mosquitto import broker
from tests.fakes.ports import free_port
from tests.fakes.smtp import certificate
from tests.fakes.webhook import FakeWebhook
from tests.monitor.cli.test_drill import drill
from tests.monitor.store.helpers import deliver, finding
from tests.monitor.store.helpers import fingerprint as stored

SINK = """
[rules]
packs = ["vcs/github"]
[[sinks]]
name = "hook"
type = "webhook"
url = "env:HOOK_URL"
"""
SOURCES = """
[[sources]]
name = "services"
type = "file"
include = ["logs/*.log"]
[[sources]]
name = "pods"
type = "container"
include = ["pods/*/*/*.log"]
[[sources]]
name = "bus"
type = "mqtt"
host = "127.0.0.1"
port = {mqtt}
topics = ["logs/+/#"]
fields = ["message"]
[[sources]]
name = "net"
type = "syslog"
listen = ["udp:127.0.0.1:{syslog}", "tcp:127.0.0.1:{syslog}", "unix:{folder}/log", "tls:127.0.0.1:{tls}"]
certificate = "server.pem"
private_key = "file:server.key"
[[sources]]
name = "pushed"
type = "http"
listen = "127.0.0.1:{http}"
token = "env:PUSH_TOKEN"
"""


async def followed(monitor: Monitor, places: list[tuple[str, str | None]]) -> list[list[Hop]]:
    """All these drills at once, on the state of the monitor that runs."""
    settings = load(monitor.config)
    sources = {source.name: source for source in settings.sources}
    async with await open_store(settings, repairs=False) as store:

        async def one(number: int, name: str, at: str | None) -> list[Hop]:
            hops: list[Hop] = []
            secret = expand("ghp_{alnum:30}{crc32}", f"drill {number}")
            wanted = fingerprint(KEY.encode(), secret.encode())
            place = spot(sources[name], at)
            await store.drills.plan([wanted], pages=False)
            planted = await place.plant(f"INFO nothing leaked: {secret}")
            await Follower(store, "ada", 30.0, hops.append, name, place.look).follow(wanted, planted)
            place.remove()
            return hops

        return await asyncio.gather(*(one(number, *place) for number, place in enumerate(places)))


HOPS = ["detected", "incident", "routed", "alerted hook", "acknowledged", "closed"]


async def test_a_drill_comes_through_every_kind_of_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("logs", "pods/shop_web-1_uid/api"):
        (tmp_path / folder).mkdir(parents=True)
    certificate(tmp_path)
    ports = {"syslog": free_port(), "tls": free_port(), "http": free_port()}
    places = [
        ("services", None),
        ("pods", None),
        ("bus", None),
        ("bus", "logs/app/errors"),
        ("net", f"udp:127.0.0.1:{ports['syslog']}"),
        ("net", f"tcp:127.0.0.1:{ports['syslog']}"),
        ("net", f"unix:{tmp_path}/log"),
        ("net", f"tls:127.0.0.1:{ports['tls']}"),
        ("pushed", None),
        ("pushed", "/v1/logs"),
        ("pushed", "/loki/api/v1/push"),
    ]
    monkeypatch.setenv("PUSH_TOKEN", "of a test")
    async with FakeWebhook() as hook, broker(tmp_path) as mqtt:
        monkeypatch.setenv("HOOK_URL", hook.url)
        monitor = Monitor(tmp_path, SINK + SOURCES.format(mqtt=mqtt, folder=tmp_path, **ports))
        await monitor.start()
        try:
            found = await followed(monitor, places)
        finally:
            await monitor.terminate()
    assert hook.problems == []
    for (name, at), hops in zip(places, found, strict=True):
        assert [hop.name for hop in hops] == HOPS, f"{name} {at}"
        assert all(hop.seconds >= 0 for hop in hops)
    assert "logs/exposure-drill/exposure-drill" in found[2][0].detail
    assert "logs/app/errors" in found[3][0].detail
    assert not list((tmp_path / "logs").iterdir()) + list((tmp_path / "pods/shop_web-1_uid/api").iterdir())


async def test_who_is_told_of_a_drill_may_acknowledge_it_meanwhile(tmp_path: Path) -> None:
    hops: list[Hop] = []
    async with await Store.open(tmp_path / "state.db", Policy(sinks=("chat",))) as store:
        await store.drills.plan([wanted := stored("drill")], pages=False)
        await store.commit([finding("drill", source="services")])
        await store.incidents.transition(wanted, "ack", actor="grace")
        follow = Follower(store, "ada", 30.0, hops.append, "services").follow(wanted, 0.0)
        task = asyncio.create_task(follow)
        while not task.done():
            await deliver(store)
            await asyncio.sleep(0.01)
        await task
        assert (await store.incidents.get(wanted)).state == "resolved"
    assert [hop.name for hop in hops] == ["detected", "incident", "routed", "alerted chat", "acknowledged", "closed"]
    assert hops[4].detail == "somebody was quicker"


async def test_a_drill_that_is_cut_short_closes_its_incident(tmp_path: Path) -> None:
    hops: list[Hop] = []
    async with await Store.open(tmp_path / "state.db", Policy(sinks=("chat",))) as store:
        await store.drills.plan([wanted := stored("drill")], pages=False)
        await store.commit([finding("drill", source="services")])
        follow = Follower(store, "ada", 30.0, hops.append, "services").follow(wanted, 0.0)
        task = asyncio.create_task(follow)
        while len(hops) < 3:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await store.incidents.get(wanted)).resolution == "used_in_tests"


@pytest.mark.parametrize("cut", [True, False])
async def test_an_incident_that_only_another_source_has_opened_is_closed_too(tmp_path: Path, cut: bool) -> None:
    async with await Store.open(tmp_path / "state.db", Policy(sinks=("chat",))) as store:
        await store.drills.plan([wanted := stored("drill")], pages=False)
        await store.commit([finding("drill", source="pods")])
        follow = Follower(store, "ada", 30.0 if cut else 0.0, lambda hop: None, "services").follow(wanted, 0.0)
        task = asyncio.create_task(follow)
        if cut:
            while not task.cancelling():
                await store.incidents.get(wanted)
                task.cancel()
        with pytest.raises(asyncio.CancelledError if cut else DrillError):
            await task
        assert (await store.incidents.get(wanted)).resolution == "used_in_tests"


JOURNAL = """
[[sources]]
name = "journal"
type = "journal"
priority = "warning"
identifiers = ["backup"]
"""


async def test_a_drill_comes_through_the_journal(tmp_path: Path) -> None:
    """In the namespace of a real journald, of which only commands there know: so by the command itself."""
    async with FakeWebhook() as hook, journald() as before:
        monitor = Monitor(tmp_path, SINK + JOURNAL, {"HOOK_URL": hook.url})
        await monitor.start(prefix=before)
        try:
            code, out, err = await drill(monitor, prefix=before)
        finally:
            await monitor.terminate()
    assert code == 0, out + err
    assert [line.split(" s  ")[1].split("  ")[0].strip() for line in out.splitlines()[:-1]] == ["planted", *HOPS]
    assert "the journal, as backup" in out
