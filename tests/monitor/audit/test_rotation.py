from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from monitor.audit.check import Subject
from monitor.audit.rotation import kept
from monitor.rotation.settings import RotationConfig, RotationPolicy
from monitor.store import Store
from monitor.store.inventory import SecretVersion
from tests.monitor.audit.conftest import Make, write
from tests.monitor.store.helpers import NOW, Clock

DAY = 86_400.0
TAGS = ("critical",)  # what the policy holds for that there is without any


async def verdicts(subject: Subject) -> list[tuple[str, str]]:
    return [(one.verdict, one.text) async for one in kept(subject)][1:]  # the first is about the page


async def test_a_schedule_alone_is_not_known_to_be_kept(make: Make, tmp_path: Path) -> None:
    write(tmp_path / "r", {"docs/rotation.md": "Every 90 days.\n"})
    assert [one.verdict async for one in kept(make(tmp_path / "r"))] == ["pass", "unknown"]
    assert [one.verdict async for one in kept(make())] == ["unknown", "unknown"]
    async with await Store.open(tmp_path / "state.db") as store:
        assert [one.verdict async for one in kept(replace(make(), store=store))] == ["unknown", "unknown"]


@pytest.mark.parametrize(
    ("secret", "after", "verdict", "says"),
    [
        (
            SecretVersion("db", "a", rotated=NOW - 89 * DAY, tags=TAGS),
            0,
            "pass",
            "1 secrets under a policy, none overdue",
        ),
        (
            SecretVersion("db", "a", rotated=NOW - 91 * DAY, tags=TAGS),
            0,
            "fail",
            "vault/db was due on 2027-01-14: every 90 days",
        ),
        (SecretVersion("db", "a", expires=NOW - 1, tags=TAGS), 0, "fail", "2027-01-15: it expired on 2027-01-15"),
        (SecretVersion("db", "a", tags=TAGS), 0, "unknown", "does not say how old it is"),
        (SecretVersion("db", "a", tags=TAGS), 91, "fail", "known 91 days ago"),
        (SecretVersion("db", "a", rotated=NOW), 0, "unknown", "no [[rotation.policies]] fits"),
    ],
)
async def test_ages(secret: SecretVersion, after: float, verdict: str, says: str, make: Make, tmp_path: Path) -> None:
    async with await Store.open(tmp_path / "state.db", clock=Clock()) as store:
        await store.inventory.save("vault", [secret], whole=True)
        ((found, text),) = await verdicts(replace(make(), store=store, now=NOW + after * DAY))
        assert (found, says in text) == (verdict, True), text


async def test_policies_of_the_configuration_are_a_schedule(make: Make, tmp_path: Path) -> None:
    rotation = RotationConfig(policies=(RotationPolicy.model_validate({"every": "30d", "names": ["db"]}),))
    async with await Store.open(tmp_path / "state.db", clock=Clock()) as store:
        await store.inventory.save("vault", [SecretVersion("db", "a", rotated=NOW - 31 * DAY)], whole=True)
        subject = replace(make(), store=store, now=NOW)
        subject = replace(subject, config=replace(subject.config, rotation=rotation))
        assert [one.verdict async for one in kept(subject)] == ["pass", "fail"]


async def test_an_entry_that_cannot_be_read_and_what_is_gone(make: Make, tmp_path: Path) -> None:
    old, new = SecretVersion("old", "a", rotated=1.0, tags=TAGS), SecretVersion("new", "b", rotated=NOW, tags=TAGS)
    async with await Store.open(tmp_path / "state.db", clock=Clock()) as store:
        await store.inventory.save("vault", [old, new], whole=True)
        await store.inventory.save("vault", [new], whole=True)
        subject = replace(make(), store=store, now=NOW)
        assert [verdict for verdict, _ in await verdicts(subject)] == ["pass"]
        await store.inventory.save("vault", (), whole=False, error="it is down")
        assert ("unknown", "inventory vault could not be read: it is down") in await verdicts(subject)
