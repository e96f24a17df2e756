from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from detectors.rules.load import load_rules
from detectors.rules.template import expand
from monitor import runbook
from monitor.access.reading import Reading
from monitor.domain.incidents import Verified
from monitor.domain.model import Position
from monitor.intake import ledger
from monitor.routing.routes import Policy
from monitor.runbook.progress import Procedure
from monitor.scanning.redact import Halves
from monitor.store import Store, redaction
from monitor.store.database import Database
from monitor.store.records import Notice
from monitor.store.schema import REDACTED, WHOLE, meta, metadata
from tests.monitor.store.helpers import NOW, Clock, finding, fingerprint, notify

TOKEN = expand("ghp_{alnum:30}{crc32}", 11)
SHOWN = 12  # characters in a row of it that nothing may show
PLAIN = "/var/log/" + "named-" * 20 + "at-the-end-7d9f8b6c5d.log"


def halves() -> Halves:
    return Halves(load_rules(["vcs/github"]))


def cut(limit: int, of: int = 39) -> str:
    """As older versions kept it: a token of which `of` characters came before the limit."""
    return "x" * (limit - of - 1) + "/" + TOKEN[:of]


async def opened(url: str, clock: Clock) -> Store:
    procedure = Procedure("high", book=runbook.load)
    policy = Policy(sinks=("chat",))
    return await Store.open(url, policy, clock=clock, procedure=procedure, secret=b"s" * 32)


async def fill(store: Store) -> None:
    """Half a token in each text that a text from outside may be in, and other texts beside."""
    place = {"path": cut(4096), "service": cut(200), "context": cut(240)}
    labels = {"host": cut(200, 13), "topic": cut(256), "unit": PLAIN}
    seen = [
        finding("labelled", labels=labels, severity="critical", **place),
        finding("named", name=cut(300), masked=f"{cut(100)} → prod/db", path=PLAIN, labels={"unit": PLAIN}),
        finding("masked", path=cut(1000, 30), labels={"topic": f"{'/ghp_ab…[40]' * 3}/{TOKEN[:20]}"}),
    ]
    readings = [
        Reading("1", NOW, cut(300), cut(100), names=(cut(200), "key"), address=cut(100), agent=cut(300), marks=("m",)),
        Reading("2", NOW, "prod/db", "app", address="10.0.0.1"),
    ]
    lost = ledger.Ledger("services")
    lost.restore({})
    lost.enter("truncated", 7, cut(256), "bytes", NOW)
    lost.enter("truncated", 7, PLAIN, "bytes", NOW)
    await store.commit(seen, lost.changed(), readings=readings, source="vault")
    await store.commit((), [Position("services", "/a.log", {"offset": 7})])
    told = Notice("Source services missed bytes", f"7 bytes of {cut(256)} (truncated). See docs/sources.md.")
    await notify(store, told)
    facts = {"login": cut(200), "list": f"{cut(190)}, b", "scopes": "repo, user"}
    verified = Verified("refused", NOW, "GitHub refuses it", "github", facts)
    id_ = fingerprint("labelled")[:16]
    await store.verdicts.record(id_, verified, actor="monitor")
    await store.incidents.transition(id_, "ack", actor="ada", note="mine")


def older(url: str) -> None:
    """The database as a version has left it that did not look."""
    database = Database(url)
    with database.transaction(durable=True) as connection:
        connection.execute(delete(meta).where(meta.c.key == REDACTED))
    database.dispose()


def everything(url: str) -> dict[str, list[dict[str, Any]]]:
    database = Database(url)
    with database.reader.connect() as connection:
        found = {
            table.name: [dict(row._mapping) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in metadata.sorted_tables
        }
    database.dispose()
    return found


def shows(text: str) -> bool:
    hidden = TOKEN[4:]
    return any(hidden[at : at + SHOWN - 4] in text for at in range(len(hidden) - SHOWN + 5))


async def test_what_was_kept_half_masked_is_mended_once_and_nothing_else_changes(
    url: str, clock: Clock, tmp_path: Path
) -> None:
    async with await opened(url, clock) as store:
        await fill(store)
    older(url)
    before = everything(url)
    wrong = {name for name, rows in before.items() if shows(str(rows))}
    assert wrong >= {"positions", "outbox", "incidents", "findings", "members", "audit", "reads", "habits"}

    async with await opened(url, clock) as store:
        assert await store.redaction.run(halves) > 10
        assert await store.redaction.run(lambda: pytest.fail("it looks again")) == 0
        assert (await store.trail.verify()).problems == ()
        found = await store.incidents.get(fingerprint("labelled")[:16])
        assert found.labels["unit"] == PLAIN
        assert found.labels["topic"] == "x" * 216 + "/ghp_…"
        await store.commit([finding("labelled", 7)], ledger_of(await store.positions.of("@services")))
    after = everything(url)
    assert not [row for rows in after.values() for row in rows if shows(str(row))]
    if "state.db" in url:  # nor in what is left of the old rows in the file
        assert not shows(Path(url).read_bytes().decode("latin-1"))

    assert next(row for row in after["meta"] if row["key"] == REDACTED)["value"] == WHOLE
    untouched = [row for row in before["positions"] if row["source"] == "services"]
    assert untouched == [row for row in after["positions"] if row["source"] == "services"]
    assert [row["path"] for row in after["findings"]].count(PLAIN) == 1
    assert {len(rows) for rows in before["reads"]} == {len(rows) for rows in after["reads"]}


def ledger_of(rows: Any) -> list[Position]:
    """A ledger that was restored from these rows, as it writes them."""
    lost = ledger.Ledger("services")
    lost.restore(rows)
    lost.enter("truncated", 1, PLAIN, "bytes", NOW)
    return lost.changed()


async def test_it_goes_on_where_it_was_ended(url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_PAGE", 3)
    monkeypatch.setattr(redaction, "_PAUSE", 0.0)
    async with await opened(url, clock) as store:
        await store.commit([finding(number, path=cut(300), labels={"n": str(number)}) for number in range(20)])
    older(url)
    looked: list[str] = []

    def ended_after(most: int) -> Callable[[], Callable[[str], str]]:
        mask = halves()

        def look(text: str) -> str:
            looked.append(text)
            if len(looked) >= most:
                raise RuntimeError("ended")
            return mask(text)

        return lambda: look

    ends = 0
    async with await opened(url, clock) as store:
        while True:
            looked.clear()
            try:
                await store.redaction.run(ended_after(60))
                break
            except RuntimeError:
                ends += 1
    assert ends > 1
    assert not shows(str(everything(url)))


async def test_a_new_database_has_nothing_to_look_through(url: str, clock: Clock) -> None:
    async with await opened(url, clock) as store:
        assert await store.redaction.run(lambda: pytest.fail("it looks")) == 0


async def test_rows_that_become_the_same_are_one(url: str, clock: Clock) -> None:
    async with await opened(url, clock) as store:
        readings = [Reading(str(of), NOW, f"{'x' * 200}/{TOKEN[:of]}", "app") for of in (13, 20, 39)]
        await store.commit((), readings=readings, source="vault")
    older(url)
    async with await opened(url, clock) as store:
        assert await store.redaction.run(halves) >= 3
        assert {secret for secret, _, _ in await store.access.known()} == {"x" * 200 + "/ghp_…"}
    assert not shows(str(everything(url)))
