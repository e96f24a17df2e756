from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import structlog

from detectors.rules.template import expand
from monitor import host
from monitor.config import config as configuration
from monitor.domain.model import Block, Finding, Position
from monitor.host import SourceIntake
from monitor.intake.ledger import Ledger, losses, place
from monitor.intake.protocol import Behind
from monitor.site import open_site
from monitor.store import StoreError
from tests.fakes.audit import lines, month
from tests.fakes.setup import Setup, incidents, notices, running, told, until
from tests.fakes.webhook import FakeWebhook
from tests.monitor.store.helpers import finding


async def test_what_a_source_misses_is_counted_and_told_once(site: Setup, hook: FakeWebhook) -> None:
    daemon = site.daemon()
    async with running(daemon):
        intake = SourceIntake(daemon.running.site, "app")
        intake.missed("truncated", 100, "/var/log/a.log")
        intake.missed("truncated", 11, "/var/log/a.log")
        await told(hook, "111 bytes of /var/log/a.log (truncated)")
        assert daemon.snapshot.missed["app", "truncated"] == 111
        intake.degraded("/var/log/b.log", "cannot be read")
        assert daemon.snapshot.degraded == {("app", "/var/log/b.log"): "cannot be read"}
        intake.degraded("/var/log/b.log", None)
        assert daemon.snapshot.degraded == {}
        await asyncio.sleep(0.1)
    assert len(notices(hook)) == 1


async def test_the_intake_keeps_positions(site: Setup) -> None:
    daemon = site.daemon()
    async with running(daemon):
        intake = SourceIntake(daemon.running.site, "x")
        await intake.record((), [Position("x", "a", {"offset": 1}), Position("x", "b", {"offset": 2})])
        assert await intake.positions() == {"a": {"offset": 1}, "b": {"offset": 2}}
        await intake.record((), [Position("x", "a", None)])
        assert await intake.positions() == {"b": {"offset": 2}}
        assert (rule := intake.rule("acme-acme")) is not None
        assert rule.id == "acme-acme"
        assert intake.rule("none") is None
        value = expand("acme_{lower:20}{digit:12}", 1)
        (finding,) = await intake.identify(f"is it {value}?".encode())
        assert finding.rule == "acme-acme"


async def test_what_a_source_reports_goes_with_its_positions_and_holds_no_secret(
    site: Setup, hook: FakeWebhook
) -> None:
    value = expand("acme_{lower:20}{digit:12}", 3)
    daemon = site.daemon()
    async with running(daemon):
        intake = SourceIntake(daemon.running.site, "gh")
        lines = f"in {value}\n{'x' * 20_000}\nthe last"
        await intake.notify(f"one of {value}", lines, [Position("gh", "a", {"reported": 1})])
        await told(hook, "one of acme_")
        assert [notice.splitlines()[2] for notice in notices(hook)] == ["the last"]
        assert await intake.positions() == {"a": {"reported": 1}}
        await intake.notify("", "", [Position("gh", "a", {"reported": 2})])
        assert await intake.positions() == {"a": {"reported": 2}}
        await intake.note("gone", "nobody minds", actor="GitHub")
        secret = finding("x")
        await daemon.running.site.store.commit([secret])
        incident = await daemon.running.site.store.incidents.get(secret.fingerprint)
        for _ in range(2):
            await intake.note(incident.id, f"dismiss {value}", actor="GitHub")
        history = await daemon.running.site.store.incidents.history(incident.id)
        (noted,) = [one for one in history if one.action == "noted"]
        assert noted.note.startswith("dismiss acme_")
    assert value[6:] not in str(notices(hook)) + noted.note


async def test_many_findings_of_a_block_are_committed_in_parts_and_a_kill_between_them_loses_none(
    site: Setup, hook: FakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_AT_ONCE", 3)
    site.configure('[[routes]]\nsinks = ["hook"]\ngroup_interval = "1s"\n')  # of what keeps coming in one shape
    text = "".join(expand("acme_{lower:20}{digit:12}\n", seed) for seed in range(10)).encode()
    block = Block("dense", "/log", "g", 0, text, time.time())
    daemon = site.daemon()
    async with running(daemon):
        store, sizes = daemon.running.site.store, []
        intake, commit = SourceIntake(daemon.running.site, "dense"), store.commit

        async def counted(found: Sequence[Finding], moved: Sequence[Position] = (), **options: object) -> int:
            if not found and not any(position.source == "dense" for position in moved):
                return await commit(found, moved, **options)  # type: ignore[arg-type] # the daemon's own
            sizes.append((len(found), len(moved)))
            if sizes == [(3, 0), (3, 0)]:
                raise StoreError("killed")
            return await commit(found, moved, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(store, "commit", counted)
        with pytest.raises(StoreError):
            await intake.scan(iter([block]), lambda: [Position("dense", "/log", {"offset": len(text)})])
        assert await intake.positions() == {}
        assert await intake.scan(iter([block]), lambda: [Position("dense", "/log", {"offset": len(text)})]) == 10
        assert sizes[2:6] == [(3, 0), (3, 0), (3, 0), (1, 1)]
        assert await intake.positions() == {"/log": {"offset": len(text)}}
        await until(lambda: len({incident["fingerprint"] for incident in incidents(hook)}) == 10)
        kept = await store.incidents.find()
    assert [incident.occurrences for incident in kept] == [1] * 10


async def test_what_a_source_of_an_environment_finds_is_routed_by_it(site: Setup, hook: FakeWebhook) -> None:
    daemon = site.daemon()
    async with running(daemon):
        intake = SourceIntake(daemon.running.site, "app", environment="staging")
        value = expand("acme_{lower:20}{digit:12}", 1)
        await intake.scan([Block("app", "/p", "g", 0, f"token {value}\n".encode(), time.time())], lambda: [])
        await until(lambda: hook.payloads)
        assert hook.payloads[0]["incidents"][0]["labels"]["environment"] == "staging"


async def test_how_late_a_source_is_goes_by_the_clock_of_what_it_kept_last(site: Setup) -> None:
    daemon = site.daemon()
    async with running(daemon):
        intake = SourceIntake(daemon.running.site, "x")
        old = Block("x", "/p", "g", 0, b"old\n", time.time(), logged_at=time.time() - 3600)
        await intake.scan([replace(old, logged_at=time.time()), old], lambda: [])
        assert 3590 < daemon.snapshot.lag["x"] < 3900
        assert daemon.snapshot.read["x"] == 2 * len(b"old\n")
        await intake.scan([Block("y", "/p", "g", 0, b"", 0.0, parts=[(0, replace(old, logged_at=0.0))])], lambda: [])
        assert daemon.snapshot.lag["x"] > 1e9
        closed = []

        def blocks() -> Iterator[Block]:
            try:
                yield replace(old, logged_at=None)
            finally:
                closed.append(True)

        await intake.scan(blocks(), lambda: [])
        assert closed
        intake.backlog(lambda: [Behind("/a.log", 5, 1.0)])
        assert daemon.snapshot.backlog["x"]() == [Behind("/a.log", 5, 1.0)]


async def test_parts_that_have_the_same_to_say_are_one_line(site: Setup) -> None:
    daemon = site.daemon()
    async with running(daemon):
        intake = SourceIntake(daemon.running.site, "x")
        with structlog.testing.capture_logs() as lines:
            for number in range(300):
                intake.degraded(f"/{number}.log", "cannot be read")
            intake.degraded("/other.log", "is a folder")
            intake.degraded("/7.log", None)
            intake.told()
            intake.degraded("/other.log", "is a folder")  # known
            intake.told()
        assert [(line["event"], line["part"], line.get("reason")) for line in lines] == [
            ("cannot work", "/0.log and 298 more", "cannot be read"),
            ("cannot work", "/other.log", "is a folder"),
            ("works again", "/7.log", None),
        ]
        assert len(daemon.snapshot.degraded) == 300
        with structlog.testing.capture_logs() as lines:
            intake.degraded("/8.log", None)
            await until(lambda: lines)
        assert lines[0]["event"] == "works again"


async def test_what_was_lost_is_in_the_ledger_with_the_position_that_passes_over_it(site: Setup) -> None:
    daemon = site.daemon()
    async with running(daemon):
        store, entries = daemon.running.site.store, Ledger("x")  # one for all runs, as a notice may come late
        for turn in (1, 2):
            intake = SourceIntake(daemon.running.site, "x", entries=entries)
            await intake.open()
            intake.missed("truncated", 100, "/var/log/a.log")
            await intake.record((), [Position("x", "a", {"offset": turn})])
            intake.missed("truncated", 1, expand("/var/log/acme_{lower:20}{digit:12}.log", 1))
            await intake.close()
        rows = await store.positions.of(place("x"))
        found = {loss.place: loss.count for loss in losses(rows)}
        assert found.pop("/var/log/a.log") == 200
        [(masked, count)] = found.items()
        assert count == 2
        assert expand("acme_{lower:20}{digit:12}", 1) not in masked
        assert await intake.positions() == {"a": {"offset": 2}}
    assert daemon.snapshot.missed["x", "truncated"] == 202


async def test_a_loss_of_which_nobody_heard_before_the_end_is_told_after_the_next_start(
    site: Setup, hook: FakeWebhook
) -> None:
    daemon = site.daemon()
    async with running(daemon):
        store = daemon.running.site.store
        killed = SourceIntake(daemon.running.site, "x")
        await killed.open()
        killed.missed("truncated", 100, "/var/log/a.log")
        await killed.record((), [Position("x", "a", {"offset": 1})])
        assert killed._telling_losses is not None
        killed._telling_losses.cancel()  # it ends here
        after = SourceIntake(daemon.running.site, "x")
        await after.open()
        await told(hook, "100 bytes of /var/log/a.log (truncated)")

        async def heard() -> bool:
            return all(loss.untold is None for loss in losses(await store.positions.of(place("x"))))

        while not await heard():
            await asyncio.sleep(0.01)
        again = SourceIntake(daemon.running.site, "x")
        await again.open()
        await again.close()
    assert len(notices(hook)) == 1


async def test_what_is_lost_soon_after_a_notice_is_in_the_next_one(
    site: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_TOGETHER", 0.01)
    monkeypatch.setattr(host, "_REST", 0.05)
    texts: list[str] = []
    notices: list[asyncio.Future[None]] = []
    quiet = False

    def tell(title: str, text: str = "", *_: object, **__: object) -> asyncio.Future[None] | None:
        if quiet:
            return None
        texts.append(text.partition(". ")[0])
        notices.append(asyncio.get_running_loop().create_future())
        return notices[-1]

    async with open_site(configuration.load(site.config), tell) as alone:
        intake = SourceIntake(alone, "x")
        await intake.open()
        intake.missed("rate", 100, "/a", "bytes")
        await until(lambda: texts)
        quiet = True  # for an hour
        for _ in range(10):
            intake.missed("rate", 1000, "/a", "bytes")
            await asyncio.sleep(0.01)
        notices[0].set_result(None)
        await asyncio.sleep(0.2)
        assert texts == ["100 bytes of /a (rate)"]
        quiet = False
        await until(lambda: len(texts) > 1)
        notices[1].set_result(None)
        await asyncio.sleep(0.2)
        assert texts[1:] == ["10000 bytes of /a (rate)"]
        await intake.close()
        assert len(texts) == 2
        [loss] = losses(await alone.store.positions.of(place("x")))
        assert (loss.count, loss.untold) == (10100, None)


async def test_a_flood_of_losses_is_one_line(site: Setup) -> None:
    daemon = site.daemon()
    async with running(daemon):
        intake = SourceIntake(daemon.running.site, "x")
        with structlog.testing.capture_logs() as lines:
            for number in range(5000):
                intake.missed("rate", 2, f"datagrams of {number}", unit="bytes")
            await intake.close()
        told = [line for line in lines if "missed" in line["event"]]
        assert [line["detail"].partition(" (rate)")[0] for line in told] == ["10000 bytes of datagrams of 0 and others"]


async def test_audit_records_are_read_beside_the_scan_and_kept_with_the_position(site: Setup) -> None:
    daemon = site.daemon()
    value = expand("acme_{lower:20}{digit:12}", 3)
    async with running(daemon):
        intake = SourceIntake(daemon.running.site, "vault", audit="vault")
        records = list(lines(month(1)[:4], "r"))
        text = "\n".join([*records, f'{{"type":"request","token":"{value}"}}', "junk"]) + "\n"
        block = Block("vault", "/audit.log", "g", 0, text.encode(), time.time())
        found = await intake.scan([block], lambda: [Position("vault", "f", {"offset": 1})])
        assert found == 1  # what leaked into it is found as anywhere
        store = daemon.running.site.store
        assert sum(one.times for one in await store.access.uses()) == 4
        assert await intake.positions() == {"f": {"offset": 1}}
        assert daemon.snapshot.malformed["vault", "audit"] == 1
        assert daemon.snapshot.degraded == {}

        junk = Block("vault", "/audit.log", "g", 0, b"one\ntwo\n", time.time())
        await intake.scan([junk], lambda: [])
        assert 'no line is an audit record of the form "vault"' in daemon.snapshot.degraded["vault", "audit records"]
        await intake.scan([block], lambda: [])
        assert daemon.snapshot.degraded == {}
        assert sum(one.times for one in await store.access.uses()) == 4
