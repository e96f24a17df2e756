from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from monitor.audit.rotation import kept
from monitor.audit.subject import Subject
from monitor.store import Store
from monitor.store.inventory import Kept
from tests.monitor.audit.conftest import Make, write
from tests.monitor.store.helpers import NOW, Clock

DAY = 86_400.0


async def verdicts(subject: Subject) -> list[tuple[str, str]]:
    return [(one.verdict, one.text) async for one in kept(subject)][1:]  # the first is about the page


async def test_a_schedule_alone_is_not_known_to_be_kept(make: Make, tmp_path: Path) -> None:
    write(tmp_path / "r", {"docs/rotation.md": "Every 90 days.\n"})
    assert [one.verdict async for one in kept(make(tmp_path / "r"))] == ["pass", "unknown"]
    assert [one.verdict async for one in kept(make())] == ["fail", "unknown"]
    async with await Store.open(tmp_path / "state.db") as store:
        assert [one.verdict async for one in kept(replace(make(), store=store))] == ["fail", "unknown"]


@pytest.mark.parametrize(
    ("secret", "after", "verdict", "says"),
    [
        (Kept("db", "a", rotated=NOW - 89 * DAY), 0, "pass", "1 secrets, none older than 90 days"),
        (Kept("db", "a", rotated=NOW - 91 * DAY), 0, "fail", "vault/db was last changed on 2026-10-16"),
        (Kept("db", "a", created=NOW - 91 * DAY), 0, "fail", "more than 90 days ago"),
        (Kept("db", "a", rotated=NOW, expires=NOW - 1), 0, "fail", "vault/db expired on 2027-01-15"),
        (Kept("db", "a"), 0, "unknown", "does not say how old it is"),
        (Kept("db", "a"), 91, "fail", "has not changed since 2027-01-15"),
    ],
)
async def test_ages(secret: Kept, after: float, verdict: str, says: str, make: Make, tmp_path: Path) -> None:
    async with await Store.open(tmp_path / "state.db", clock=Clock()) as store:
        await store.inventory.save("vault", [secret], whole=True)
        ((found, text),) = await verdicts(replace(make(), store=store, now=NOW + after * DAY))
        assert (found, says in text) == (verdict, True), text


async def test_an_entry_that_cannot_be_read_and_what_is_gone(make: Make, tmp_path: Path) -> None:
    async with await Store.open(tmp_path / "state.db", clock=Clock()) as store:
        await store.inventory.save("vault", [Kept("old", "a", rotated=1.0), Kept("new", "b", rotated=NOW)], whole=True)
        await store.inventory.save("vault", [Kept("new", "b", rotated=NOW)], whole=True)
        subject = replace(make(), store=store, now=NOW)
        assert [verdict for verdict, _ in await verdicts(subject)] == ["pass"]
        await store.inventory.failed("vault", "it is down")
        assert ("unknown", "inventory vault could not be read: it is down") in await verdicts(subject)
