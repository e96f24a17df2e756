from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from monitor.audit.check import Subject
from monitor.audit.papers import emergency, kept, rotation
from monitor.rotation.settings import RotationConfig, RotationPolicy
from monitor.store import Store
from monitor.store.inventory import SecretVersion
from tests.monitor.audit.conftest import Make, write
from tests.monitor.store.helpers import NOW, Clock

DAY = 86_400.0
TAGS = ("critical",)  # what the policy holds for that there is without any
PROCEDURE = "# When a secret leaked\n\nRevoke the key at its issuer. Then notify the on-call engineer.\n"


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("docs/rotation.md", "# Keys\n\nCritical ones: every 90 days.\n", 3),
        ("docs/security.md", "# Security\n\n## Rotation\n\nquarterly\n\n# Else\n", 5),
        ("SECURITY.md", "We rotate API keys monthly.\n", 1),
        ("docs/keys.rst", "Keys are rotated at least once a year\n", 1),
    ],
)
def test_a_page_that_says_how_often(name: str, text: str, line: int, make: Make, tmp_path: Path) -> None:
    (one,) = rotation(make(write(tmp_path, {name: text, "README.md": "Built daily.\n"})))
    assert (one.verdict, one.path, one.line) == ("pass", name, line)


@pytest.mark.parametrize(
    "text", ["We rotate keys.\n", "## Rotation\n\nsoon\n\n## Else\n\nevery 2 weeks\n", "Logs: kept for 90 days.\n", ""]
)
def test_one_that_does_not(text: str, make: Make, tmp_path: Path) -> None:
    assert [one.verdict for one in rotation(make(write(tmp_path, {"a.md": text or "x"})))] == ["fail"]


def test_an_emergency_procedure_says_what_to_do_and_whom_to_tell(make: Make, tmp_path: Path) -> None:
    (one,) = emergency(make(write(tmp_path / "a", {"docs/leaks.md": PROCEDURE})))
    assert (one.verdict, one.line) == ("pass", 3)
    for text in ("# Leaks\n\nDo not panic.\n", "# Setup\n\nRevoke keys, notify.\n", "# Incident\n\nRevoke it.\n"):
        assert [one.verdict for one in emergency(make(write(tmp_path / "b", {"a.md": text})))] == ["fail"]


def test_documents_of_the_configuration(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"p.md": PROCEDURE, "other.md": "x"})
    assert [one.verdict for one in emergency(make(emergency_document=tmp_path / "p.md"))] == ["pass"]
    assert [one.verdict for one in emergency(make(emergency_document=tmp_path / "other.md"))] == ["fail"]
    assert [one.verdict for one in rotation(make(rotation_document=tmp_path / "gone.md"))] == ["unknown"]
    assert [one.verdict for one in rotation(make())] == ["unknown"]


def test_hostile_texts_end(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"a.md": "every " * 100_000, "b.md": "#" * 200_000, "c.md": b"\xff" * 1000 + b"\0"})
    assert [one.verdict for one in rotation(make(tmp_path))] == ["fail"]


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
    monthly = RotationConfig(policies=(RotationPolicy.model_validate({"every": "30d", "names": ["db"]}),))
    async with await Store.open(tmp_path / "state.db", clock=Clock()) as store:
        await store.inventory.save("vault", [SecretVersion("db", "a", rotated=NOW - 31 * DAY)], whole=True)
        subject = replace(make(), store=store, now=NOW)
        subject = replace(subject, config=replace(subject.config, rotation=monthly))
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
