from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from typing import Any

import pytest
import structlog

from detectors.fingerprint import fingerprint
from monitor.common.credential import Credential
from monitor.common.http import RemoteError
from monitor.common.inbound import HookDelivery
from monitor.github.client import GitHubClient
from monitor.github.poll import AlertStream, Poller
from tests.fakes.alerts import KilledError, MemoryIntake
from tests.fakes.github import FakeGitHub, commit, issue

KEY = b"k" * 32
ORG = AlertStream("org:acme", "default")
DAY = 86_400.0


@pytest.fixture
def poller(client: GitHubClient, intake: MemoryIntake):
    client.first_retry = 0.01
    return make(client, intake)


def make(client: GitHubClient, intake: MemoryIntake, **options: Any) -> Poller:
    settings: dict[str, Any] = {
        "source": "github", "host": "github.com", "key": KEY, "generic_types": ("rsa_private_key",),
        "quiet_after": 7 * DAY, "sweep": DAY,
    }  # fmt: skip
    return Poller(client=client, intake=intake, **(settings | options))


async def test_an_alert_becomes_one_finding_a_location(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    github.add("acme/web", "the value", locations=[commit("app/.env", 3), issue(7)], validity="active")
    await poller.poll(ORG, [ORG])
    [alert] = intake.alerts.values()
    assert alert.id == "github.com/acme/web#1"
    assert alert.fingerprint == fingerprint(KEY, b"the value")
    assert (alert.state, alert.severity, alert.provisional, alert.quiet) == ("open", "critical", False, False)
    assert sorted((finding.path, finding.line) for finding in intake.findings.values()) == [
        ("acme/web:app/.env", 3),
        ("acme/web:issue body issues/7", None),
    ]
    assert {finding.fingerprint for finding in intake.findings.values()} == {alert.fingerprint}
    assert all(finding.url for finding in intake.findings.values())
    assert "the value" not in repr((intake.alerts, intake.findings, intake.saved))


async def test_an_unchanged_listing_costs_no_quota(github: FakeGitHub, intake: MemoryIntake, poller: Poller) -> None:
    github.add("acme/web", "v", age=DAY)
    await poller.poll(ORG, [ORG])
    await poller.poll(ORG, [ORG])  # the first that hides values: another URL, so no ETag yet
    left, commits = github.remaining, intake.commits
    for _ in range(3):
        await poller.poll(ORG, [ORG])
    assert (github.remaining, github.not_modified, intake.commits) == (left, 3, commits)


async def test_two_changes_in_one_second_are_both_seen(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    """GitHub's dates are whole seconds: a change right after our reading does not move `updated_at`."""
    alert = github.add("acme/web", "v")
    await poller.poll(ORG, [ORG])
    alert.validity = "active"
    await poller.poll(ORG, [ORG])
    assert [one.labels["validity"] for one in intake.alerts.values()] == ["active"]


async def test_later_polls_take_the_value_of_new_alerts_only(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    known = github.add("acme/web", "one", age=DAY)
    await poller.poll(ORG, [ORG])
    github.requests.clear()
    github.touch(known, validity="active")
    github.add("acme/api", "two")
    await poller.poll(ORG, [ORG])
    listing, single = github.requests
    assert listing[2]["hide_secret"] == "true"
    assert single[1] == "/repos/acme/api/secret-scanning/alerts/1"
    assert intake.alerts["github.com/acme/api#1"].fingerprint == fingerprint(KEY, b"two")
    assert intake.alerts["github.com/acme/web#1"].fingerprint == fingerprint(KEY, b"one")
    assert intake.alerts["github.com/acme/web#1"].labels["validity"] == "active"


async def test_many_new_alerts_are_read_with_one_request_a_page(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    await poller.poll(ORG, [ORG])
    for number in range(150):
        github.add("acme/web", f"value-{number}")
    github.requests.clear()
    await poller.poll(ORG, [ORG])
    assert len(intake.alerts) == 150
    assert not any(alert.provisional for alert in intake.alerts.values())
    assert len(github.requests) == 4


@pytest.mark.parametrize("cursors", [True, False])
async def test_no_alert_is_missed_while_alerts_change_between_pages(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller, cursors: bool
) -> None:
    github.cursors = cursors
    alerts = [github.add("acme/web", f"v{number}", age=DAY + number) for number in range(450)]

    def change(count: int) -> None:
        if count < 6:
            for position in (count * 70, count * 90 - 1, 449 - count):  # read and unread ones move to the front
                github.touch(alerts[position], validity="inactive")
            github.add("acme/new", f"new-{count}")

    github.on_list = change
    await poller.poll(ORG, [ORG])
    github.on_list = None
    await poller.poll(ORG, [ORG])
    expected = {f"github.com/{alert.repo}#{alert.number}" for alert in github.alerts.values()}
    assert set(intake.alerts) == expected
    for alert in github.alerts.values():
        assert (
            intake.alerts[f"github.com/{alert.repo}#{alert.number}"].labels.get("validity", "unknown") == alert.validity
        )


async def test_numbered_pages_lose_nothing_when_alerts_disappear(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    github.cursors = False
    for number in range(350):
        github.add("acme/web", f"v{number}", age=DAY + number)
    gone: list[Any] = []

    def vanish(count: int) -> None:
        if count in (2, 4):  # a repository goes: everything behind it moves one page towards the front
            for key in sorted(github.alerts)[:30]:
                gone.append(key)
                del github.alerts[key]

    github.on_list = vanish
    await poller.poll(ORG, [ORG])
    missing = {f"github.com/{repo}#{number}" for repo, number in github.alerts} - set(intake.alerts)
    assert missing == set()
    assert len(gone) == 60


async def test_a_walk_goes_on_where_it_was_killed(github: FakeGitHub, intake: MemoryIntake, poller: Poller) -> None:
    for number in range(1000):
        github.add("acme/web", f"v{number}", age=30 * DAY + 60 * number)
    deaths = 0
    while True:
        intake.crash_after = 2
        try:
            await make(poller.client, intake).poll(ORG, [ORG])
            break
        except KilledError:
            deaths += 1
    assert deaths >= 3
    assert len(intake.alerts) == 1000
    assert github.lists <= 10 + 2 * (deaths + 1)  # no page is read much more than once
    assert intake.summaries == [("GitHub source github: older alerts", 1000)]


async def test_a_walk_keeps_within_the_quota_it_is_given(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    for number in range(1000):
        github.add("acme/web", f"v{number}", age=30 * DAY + 60 * number)
    github.limit = github.remaining = 5
    github.reset_in = 1.0
    start = time.monotonic()
    await poller.poll(ORG, [ORG])
    assert len(intake.alerts) == 1000
    assert time.monotonic() - start >= 1.0
    assert github.refused == 0


async def test_a_walk_starts_anew_when_its_cursor_is_no_longer_known(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    for number in range(250):
        github.add("acme/web", f"v{number}", age=DAY + number)
    intake.crash_after = 1
    with pytest.raises(KilledError):
        await poller.poll(ORG, [ORG])
    intake.crash_after = None
    github.faults.append((422, {}, {"message": "cursor"}))
    await poller.poll(ORG, [ORG])
    assert len(intake.alerts) == 250
    intake.crash_after = 1
    with pytest.raises(KilledError):
        await poller.poll(ORG, [ORG], full=True)
    intake.crash_after = None
    github.faults.append((422, {}, {"message": "cursor"}))
    github.requests.clear()
    await poller.poll(ORG, [ORG])
    assert {query["hide_secret"] for _, _, query in github.requests} == {"true"}


async def test_generic_types_are_a_listing_of_their_own(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    github.add("acme/web", "a key", "rsa_private_key")
    github.add("acme/web", "a token")
    generic = AlertStream("org:acme", "generic")
    await poller.poll(ORG, [ORG, generic])
    assert len(intake.alerts) == 1
    await poller.poll(generic, [ORG, generic])
    assert len(intake.alerts) == 2


async def test_one_summary_when_the_last_first_walk_has_ended(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    generic = AlertStream("org:acme", "generic")
    streams = [ORG, generic]
    github.add("acme/web", "old key", "rsa_private_key", age=30 * DAY)
    github.add("acme/web", "old token", age=30 * DAY)
    github.add("acme/web", "new token")
    await poller.poll(ORG, streams)
    assert intake.summaries == []
    await poller.poll(generic, streams)
    await poller.poll(ORG, streams)
    assert [count for _, count in intake.summaries] == [2]
    assert [alert.quiet for _, alert in sorted(intake.alerts.items())] == [True, True, False]


async def test_a_listing_that_cannot_be_read_does_not_hold_up_the_summary(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    generic = AlertStream("org:acme", "generic")
    github.add("acme/web", "old token", age=30 * DAY)
    await poller.poll(ORG, [ORG, generic])
    assert intake.summaries == []
    await poller.give_up(generic, [ORG, generic])
    assert [count for _, count in intake.summaries] == [1]


@pytest.mark.parametrize("version", ["3.17", "3.18", "3.19"])
async def test_fields_that_ghes_lacks_are_done_without(
    intake: MemoryIntake, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GITHUB_TOKEN", FakeGitHub.token)
    async with FakeGitHub(ghes=version) as github:
        github.add("acme/web", "v", locations=[commit("a"), commit("b"), issue(1)])
        client = GitHubClient.with_token(github.url, Credential("env:FAKE_GITHUB_TOKEN"))
        await make(client, intake, host="ghe.example.org").poll(ORG, [ORG])
        assert [alert.id for alert in intake.alerts.values()] == ["ghe.example.org/acme/web#1"]
        assert len(intake.findings) == 3
        await client.close()
        assert github.violations == []


async def test_all_pages_of_locations_are_read(github: FakeGitHub, intake: MemoryIntake, poller: Poller) -> None:
    github.add("acme/web", "v", locations=[commit(f"file-{number}", number) for number in range(1, 251)])
    await poller.poll(ORG, [ORG])
    assert len(intake.findings) == 250


async def test_places_beyond_the_limit_are_told_of(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.github.poll.LOCATION_PAGES", 2)
    github.add("acme/web", "v", locations=[commit(f"file-{number}", number) for number in range(1, 250)])
    with structlog.testing.capture_logs() as logs:
        await poller.poll(ORG, [ORG])
    assert len(intake.findings) == 200
    assert [entry["read"] for entry in logs if entry["event"] == "more places than are kept"] == [200]


async def test_an_alert_whose_places_fail_does_not_stop_the_others(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    github.add("acme/web", "v", locations=[commit("a"), commit("b")])
    github.add("acme/api", "w")
    poller.client.attempts = 1

    def broken(kind: str, body: Any) -> Any:
        return b"<html>" if kind == "locations" else body

    github.mangle = broken
    await poller.poll(ORG, [ORG])
    assert len(intake.alerts) == 2
    [again] = intake.queue.values()
    assert (again.event, again.repo, again.number, again.attempts) == ("again", "acme/web", 1, 1)
    github.mangle = None
    await poller.deliver(again)
    assert intake.queue == {}
    assert {finding.path for finding in intake.findings.values()} == {
        "acme/web:a", "acme/web:b", "acme/api:config/1.env"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "broken", "what"),
    [
        ("org", lambda body: {"message": "canary"}, "page"),
        ("org", lambda body: [*body, {"secret": "canary"}], "alert"),
        ("org", lambda body: [*body, "canary"], "alert"),
        ("one", lambda body: ["canary"], "alert"),
        ("locations", lambda body: {"canary": 1}, "location"),
        ("locations", lambda body: [*body, {"type": "commit", "details": {"canary": "canary"}}], "location"),
    ],
)
async def test_answers_that_make_no_sense_are_counted_and_told_without_their_content(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller, kind: str, broken: Any, what: str
) -> None:
    await poller.poll(ORG, [ORG])
    github.add("acme/web", "canary", locations=[commit("a"), commit("b")])
    github.mangle = lambda of, body: broken(body) if of == kind else body
    problem = pytest.raises(RemoteError, match="not a list of alerts") if what == "page" else nullcontext()
    with structlog.testing.capture_logs() as logs, problem:
        await poller.poll(ORG, [ORG])
    assert intake.malformed_counts == {what: 1}
    assert "canary" not in repr((logs, intake.alerts, intake.findings))
    assert len(intake.alerts) == (0 if what == "page" else 1)
    assert logs or what == "page"


async def test_a_value_that_is_not_shown_is_stood_for_until_it_is(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    alert = github.add("acme/web", None)
    await poller.poll(ORG, [ORG])
    [kept] = intake.alerts.values()
    assert kept.provisional
    ids = set(intake.findings)
    github.touch(alert, secret="now known")
    await poller.poll(ORG, [ORG])
    [kept] = intake.alerts.values()
    assert (kept.provisional, kept.fingerprint) == (False, fingerprint(KEY, b"now known"))
    assert set(intake.findings) == ids


async def test_a_base64_value_has_the_fingerprint_of_what_it_encodes(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    github.add("acme/web", "dGhlIHZhbHVl", base64=True)
    await poller.poll(ORG, [ORG])
    assert [alert.fingerprint for alert in intake.alerts.values()] == [fingerprint(KEY, b"the value")]


async def test_a_long_walk_looks_at_what_has_changed_since_it_began(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.github.poll.LOOK", 0.0)
    for number in range(1000):
        github.add("acme/web", f"v{number}", age=30 * DAY + number)
    seen: list[bool] = []

    def change(count: int) -> None:
        seen.append("github.com/acme/new#1" in intake.alerts)
        if count == 2:
            github.add("acme/new", "while it reads")

    github.on_list = change
    await poller.poll(ORG, [ORG])
    assert seen.index(True) <= 4
    assert len(intake.alerts) == 1001
    assert intake.saved[ORG.key]["mark"] == int(github.alerts["acme/new", 1].updated)
    assert [count for _, count in intake.summaries] == [1000]


async def test_all_is_read_again_after_a_clock_was_put_back(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    github.add("acme/web", "v", age=DAY)
    await poller.poll(ORG, [ORG])
    for swept, again in ((time.time() - 60, False), (time.time() + 400 * DAY, True)):
        intake.saved[ORG.key] = {**intake.saved[ORG.key], "swept": swept}
        github.add("acme/web", f"one that is new {again}")
        await poller.poll(ORG, [ORG])
        assert (intake.saved[ORG.key]["swept"] != swept) is again


async def test_an_alert_without_a_date_does_not_end_a_walk(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    alert = github.add("acme/web", "v", age=90 * DAY)
    await poller.poll(ORG, [ORG])
    state = dict(intake.saved[ORG.key])
    intake.saved[ORG.key] = state | {"mark": github.now() - 3 * DAY}  # as after three days of rest
    github.add("acme/api", "changed before it", age=2 * DAY)
    alert.updated = github.now() - DAY
    github.add("acme/new", "changed after it")

    def undated(kind: str, body: Any) -> Any:
        for one in body if kind == "org" else []:
            if one["repository"]["full_name"] == "acme/web":
                del one["updated_at"]
        return body

    github.mangle = undated
    await poller.poll(ORG, [ORG])
    assert len(intake.alerts) == 3


@pytest.mark.parametrize("lacks", [("updated_at",), ("updated_at", "created_at")])
async def test_changes_are_seen_without_dates_and_dates_are_believed_again(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller, lacks: tuple[str, ...]
) -> None:
    alert = github.add("acme/web", "v", age=DAY)

    def undated(kind: str, body: Any) -> Any:
        return [{name: value for name, value in one.items() if name not in lacks} for one in body]

    github.mangle = undated
    await poller.poll(ORG, [ORG])
    github.touch(alert, validity="inactive")
    await poller.poll(ORG, [ORG])
    [kept] = intake.alerts.values()
    assert kept.labels["validity"] == "inactive"
    assert kept.updated < alert.updated
    github.mangle = None
    github.touch(alert, state="resolved", resolution="revoked", resolved=github.now())
    await poller.poll(ORG, [ORG])
    [kept] = intake.alerts.values()
    assert (kept.state, kept.updated) == ("resolved", int(alert.updated))


async def test_a_hook_may_use_what_listings_leave_of_the_quota(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    github.add("acme/web", "v", locations=[commit("a"), commit("b")])
    github.remaining = 300  # of 5,000: less than a tenth
    await poller.client.get("/user")
    async with asyncio.timeout(120):
        await poller.deliver(HookDelivery("d", "github", "secret_scanning_alert", "acme/web", 1))
    assert [alert.provisional for alert in intake.alerts.values()] == [False]
    assert len(intake.findings) == 2


async def test_a_walk_by_numbers_goes_on_one_page_earlier(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    github.cursors = False
    for number in range(1000):
        github.add("acme/web", f"v{number}", age=DAY + number)
    intake.crash_after = 9
    with pytest.raises(KilledError):
        await poller.poll(ORG, [ORG])
    intake.crash_after = None
    github.requests.clear()
    await poller.poll(ORG, [ORG])
    again = github.requests[0][2]
    assert (again["per_page"], again["page"]) == ("100", "9")
    assert len(intake.alerts) == 1000


async def test_a_date_in_the_far_future_does_not_hide_what_comes_after(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    github.add("acme/web", "v", updated=github.now() + 900 * DAY)
    await poller.poll(ORG, [ORG])
    github.add("acme/web", "w")
    await poller.poll(ORG, [ORG])
    assert len(intake.alerts) == 2


async def test_a_hook_reads_the_present_state(github: FakeGitHub, intake: MemoryIntake, poller: Poller) -> None:
    github.add("acme/web", "v", state="resolved", resolution="revoked", resolved=github.now())
    intake.queue["d"] = hook = HookDelivery("d", "github", "secret_scanning_alert", "acme/web", 1)
    await poller.deliver(hook)
    [alert] = intake.alerts.values()
    assert (alert.state, alert.resolution) == ("resolved", "revoked")
    assert alert.fingerprint == fingerprint(KEY, b"v")
    assert intake.queue == {}


async def test_a_new_place_of_a_known_alert_is_shown_like_the_others(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    alert = github.add("acme/web", "the value", locations=[commit("a")])
    await poller.poll(ORG, [ORG])
    [first] = intake.findings.values()
    github.touch(alert, locations=[commit("a"), commit("b")], validity="active")
    await poller.poll(ORG, [ORG])
    second = next(one for one in intake.findings.values() if one.id != first.id)
    assert [(one.rule, one.name, one.masked) for one in (first, second)] == [(first.rule, first.name, first.masked)] * 2
    assert (first.severity, second.severity) == ("high", "critical")


async def test_a_hook_for_an_alert_that_is_gone_is_dropped(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller
) -> None:
    intake.queue["d"] = hook = HookDelivery("d", "github", "secret_scanning_alert", "acme/web", 99)
    await poller.deliver(hook)
    assert intake.queue == {}


async def test_a_hook_is_kept_while_github_is_down(github: FakeGitHub, intake: MemoryIntake, poller: Poller) -> None:
    github.faults.extend([(503, {}, None)] * 5)
    intake.queue["d"] = hook = HookDelivery("d", "github", "secret_scanning_alert", "acme/web", 1)
    with pytest.raises(RemoteError):
        await poller.deliver(hook)
    assert intake.handled == set()


async def test_a_listing_that_goes_round_in_circles_is_given_up(github: FakeGitHub, poller: Poller) -> None:
    where, circle = "/orgs/acme/secret-scanning/alerts", f"{github.url}/orgs/acme/secret-scanning/alerts?per_page=100"
    github.faults.extend([(200, {"Link": f'<{circle}>; rel="next"'}, [])] * 2)
    with pytest.raises(RemoteError, match="in circles"):
        async for _ in poller.client.pages(where, {"per_page": "100"}):
            pass
    parameters = poller._parameters(ORG, False)
    circle = str(poller.client.url(where, parameters))
    github.faults.extend([(200, {"Link": f'<{circle}>; rel="next"'}, [])] * 2)
    with pytest.raises(RemoteError, match="in circles"):
        await poller.poll(ORG, [ORG])


async def test_what_stands_where_a_value_is_hidden_is_no_value(
    github: FakeGitHub, intake: MemoryIntake, poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two alerts with the same mask were one incident."""
    real = FakeGitHub.body

    def masked(self: FakeGitHub, alert: Any, *, hide: bool = False, with_repository: bool = False) -> dict[str, Any]:
        body = real(self, alert, hide=hide, with_repository=with_repository)
        return body | {"secret": "****"} if hide else body

    monkeypatch.setattr(FakeGitHub, "body", masked)
    github.add("acme/web", "the one value", locations=[commit("app/.env", 3)])
    github.add("acme/web", "the other value", locations=[commit("app/.env", 4)])
    await poller.poll(ORG, [ORG])
    await poller.poll(ORG, [ORG])
    await poller.deliver(HookDelivery("h", "github", "secret_scanning_alert", "acme/web", 1))
    prints = {alert.fingerprint for alert in intake.alerts.values()}
    assert prints == {fingerprint(KEY, b"the one value"), fingerprint(KEY, b"the other value")}
