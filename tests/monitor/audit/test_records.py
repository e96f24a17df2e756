from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.audit.check import Evidence, Subject
from monitor.audit.holders import jwt_secret
from monitor.audit.records import emergency, logs, trail
from monitor.config.config import Config, load
from monitor.domain.model import Position
from monitor.store import Store
from tests.monitor.audit.conftest import Make, write
from tests.monitor.store.helpers import NOW, Clock, finding, fingerprint

DAY = 86_400.0
CONFIG = """
[[sources]]
name = "services"
type = "file"
include = ["/var/log/app.log"]
[[sources]]
name = "gh"
type = "github"
org = "acme"
token = "env:T"
"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    clock = Clock()
    async with await Store.open(tmp_path / "state.db", clock=clock) as opened:
        yield opened


@pytest.fixture
def subject(make: Make, store: Store, tmp_path: Path) -> Subject:
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "emergency.md").write_text("# Leaked secrets\n\nRevoke the key, notify the on-call engineer.\n")
    found = replace(make(emergency_document=tmp_path / "emergency.md"), store=store, now=NOW + DAY)
    return replace(found, config=replace(load(tmp_path / "config.toml"), audit=found.settings))


async def verdicts(found: AsyncIterator[Evidence]) -> dict[str, str]:
    return {one.verdict: one.text async for one in found}


async def drill(store: Store, *actions: str, secret: str = "drill") -> None:
    await store.drills.plan([fingerprint(secret)], pages=False)
    if actions:
        await store.commit([finding(secret)])
    for action in actions[1:]:
        resolution = "used_in_tests" if action == "resolve" else None
        await store.incidents.transition(fingerprint(secret), action, actor="a", resolution=resolution)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("actions", "says"),
    [
        ((), "was not even found"),
        (("found",), "did not go through to its end"),
        (("found", "resolve"), "did not go through to its end"),
        (("found", "ack"), "did not go through to its end"),
        (("found", "ack", "resolve"), ""),
    ],
)
async def test_the_last_drill_went_through_to_its_end(
    actions: tuple[str, ...], says: str, subject: Subject, store: Store
) -> None:
    await drill(store, *actions)
    found = await verdicts(emergency(subject))
    assert (says in found["fail"]) if says else "fail" not in found


async def test_no_drill_and_an_old_one_fail_and_without_a_database_it_is_unknown(
    subject: Subject, store: Store
) -> None:
    assert (await verdicts(emergency(subject)))["fail"] == "no drill was ever done"
    await drill(store, "found", "ack", "resolve")
    late = replace(subject, now=NOW + 91 * DAY)
    assert "more than 90 days ago" in (await verdicts(emergency(late)))["fail"]
    nothing = replace(subject, store=None)
    assert "there is no database" in (await verdicts(emergency(nothing)))["unknown"]


async def test_a_secret_in_a_log_fails_but_for_drills_false_alarms_and_what_others_found(
    subject: Subject, store: Store
) -> None:
    await store.commit([], [Position("services", "/var/log/app.log", {"at": 1})])
    await drill(store, "found")
    await store.commit([finding("false", 1), finding("elsewhere", 2, source="gh"), finding("old", 3)])
    await store.incidents.transition(fingerprint("false"), "resolve", actor="a", resolution="false_positive")
    await store.incidents.transition(fingerprint("old"), "resolve", actor="a", resolution="revoked")
    found = [one async for one in logs(subject)]
    assert [one.verdict for one in found] == ["fail"]
    assert found[0].repeat == f"monitor incidents show {fingerprint('old')[:16]}"
    assert found[0].path == "/var/log/app.log"
    later = replace(subject, now=NOW + 31 * DAY)
    assert list(await verdicts(logs(later))) == ["pass"]


async def test_where_nobody_looks_nothing_passes(subject: Subject, store: Store) -> None:
    assert "has not read anything yet" in (await verdicts(logs(subject)))["unknown"]
    blind = replace(subject, config=Config(audit=subject.settings))
    assert "no source of logs" in (await verdicts(logs(blind)))["unknown"]
    assert list(await verdicts(logs(replace(subject, store=None)))) == ["unknown"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vault.hcl", 'ui = true\naudit "file" "all" {\n}\n'),
        ("setup.sh", "bao audit enable file file_path=/var/log/bao.log\n"),
        ("main.tf", 'resource "aws_cloudtrail" "all" {}\n'),
        ("policy.yaml", "auditLogConfigs:\n- logType: DATA_READ\n"),
        ("kube.yml", "apiVersion: audit.k8s.io/v1\n"),
    ],
)
async def test_the_folders_say_that_accesses_are_recorded(name: str, text: str, make: Make, tmp_path: Path) -> None:
    (one,) = [one async for one in trail(make(write(tmp_path, {name: text})))]
    assert (one.verdict, one.path) == ("pass", name)


async def test_a_file_of_empty_lines_ends(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"a.hcl": "\n" * 300_000, "a.service": "\n" * 1_000_000})
    assert list(await verdicts(trail(make(tmp_path)))) == ["fail"]
    assert list(await verdicts(jwt_secret(make(tmp_path)))) == ["pass"]


async def test_nothing_says_it(make: Make, tmp_path: Path) -> None:
    assert list(await verdicts(trail(make(write(tmp_path, {"a.py": "audit = 1\n"}))))) == ["fail"]


async def test_a_source_of_audit_records_says_it_once_it_has_read(
    subject: Subject, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text(CONFIG.replace('type = "file"', 'type = "file"\naudit = "vault"'))
    subject = replace(subject, config=load(tmp_path / "config.toml"))
    assert "has not read anything yet" in (await verdicts(trail(subject)))["unknown"]
    await store.commit([finding("x")], [Position("services", "/var/log/app.log", {"at": 1})])
    assert list(await verdicts(trail(subject))) == ["pass"]
