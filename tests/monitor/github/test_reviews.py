from __future__ import annotations

from typing import Any

import pytest

from detectors.rules.template import expand
from monitor.common.http import RemoteError
from monitor.github.client import GitHubClient
from monitor.github.reviews import ReviewRequest, Reviews, open_reviews
from tests.fakes.alerts import KilledError, MemoryIntake
from tests.fakes.github import FakeGitHub
from tests.monitor.store.helpers import finding
from tests.monitor.store.test_alerts import alert

HOUR, DAY = 3600.0, 86_400.0
ALERT = "github.com/acme/web#7"


@pytest.fixture
def reviews(client: GitHubClient, intake: MemoryIntake) -> Reviews:
    return Reviews("gh", client, intake, "github.com", ["org:acme"])


async def listed(client: GitHubClient, target: str, kind: Any = "bypass") -> list[ReviewRequest | None]:
    return [one async for one in open_reviews(client, target, kind)]


async def test_those_that_wait_wherever_they_are_listed(github: FakeGitHub, client: GitHubClient) -> None:
    github.reviews.add("bypass", "acme/web", 3 * DAY, created=6 * DAY, comment="the value is in here")
    github.reviews.add("bypass", "acme/api", 3 * DAY)
    github.reviews.add("bypass", "acme/web", 3 * DAY, status="denied")
    github.reviews.add("dismissal", "acme/web", 2 * DAY, alert=12)
    for target, repos in (
        ("org:acme", ["acme/web", "acme/api"]),
        ("repo:acme/web", ["acme/web"]),
        ("enterprise:e", None),
    ):
        found = [one for one in await listed(client, target) if one is not None]
        assert [one.repo for one in found] == (repos or ["acme/web", "acme/api"])
    assert found[0].words.startswith(
        "acme/web: anna asks to push slack_api_token in config/app.env on main (fix_later), "
    )
    assert "in here" not in str(found)
    (one,) = await listed(client, "org:acme", "dismissal")
    assert one is not None
    assert one.words.startswith("acme/web: anna asks to dismiss alert #12, slack_api_token (false_positive), to be ")
    assert one.alert_id("github.com") == "github.com/acme/web#12"
    assert found[0].alert_id("github.com") is None


async def test_each_is_told_when_it_comes_and_before_it_runs_out(
    github: FakeGitHub, intake: MemoryIntake, reviews: Reviews
) -> None:
    late = github.reviews.add("bypass", "acme/web", 3 * DAY)
    github.reviews.add("bypass", "acme/api", 2 * HOUR)
    for _ in range(3):
        await reviews.look()
    ((title, text, incidents),) = intake.notices
    assert title == "2 requests to push a secret past push protection: GitHub waits for a reviewer, 1 within a day"
    assert text.splitlines()[0].startswith("acme/api: anna asks")  # the first to run out
    assert incidents == ()
    soon = github.reviews.add("bypass", "acme/x", HOUR)
    late["expires_at"] = soon["expires_at"]
    await reviews.look()
    await reviews.look()
    assert len(intake.notices) == 2
    assert "2 within a day" in intake.notices[-1][0]
    late["expires_at"] = "2999-01-01T00:00:00Z"  # who lies about time is not told of again
    await reviews.look()
    assert len(intake.notices) == 2
    github.reviews.requests["bypass"].clear()
    await reviews.look()
    assert intake.saved["bypass:org:acme"] == {"reported": {}}
    commits = intake.commits
    await reviews.look()
    assert (len(intake.notices), intake.commits) == (2, commits)


async def test_one_that_has_run_out_and_is_still_listed_is_not_reported(
    github: FakeGitHub, intake: MemoryIntake, reviews: Reviews
) -> None:
    made = github.reviews.add("bypass", "acme/web", -HOUR)
    await reviews.look()
    assert intake.notices == []
    made["expires_at"] = "2999-01-01T00:00:00Z"  # it waits after all
    for _ in range(2):
        await reviews.look()
    assert len(intake.notices) == 1


async def test_one_that_is_listed_of_an_organisation_and_of_its_repository_is_reported_once(
    github: FakeGitHub, client: GitHubClient, intake: MemoryIntake
) -> None:
    late = github.reviews.add("bypass", "acme/web", 3 * DAY)
    for _ in range(2):  # as after a restart
        reviews = Reviews("gh", client, intake, "github.com", ["org:acme", "repo:acme/web"])
        await reviews.look()
    assert len(intake.notices) == 1
    late["expires_at"] = github.reviews.add("bypass", "acme/web", HOUR)["expires_at"]
    await reviews.look()
    await reviews.look()
    assert len(intake.notices) == 2


async def test_a_request_to_dismiss_stands_in_the_history_of_the_incident(
    github: FakeGitHub, intake: MemoryIntake, reviews: Reviews
) -> None:
    await intake.record_alerts([alert(number=7)], [finding("x", generation=ALERT)], [])
    intake.incidents[ALERT] = "incident-1"
    github.reviews.add("dismissal", "acme/web", 3 * DAY, alert=7)
    github.reviews.add("dismissal", "acme/web", 3 * DAY, alert=8)  # not known here
    intake.crash_after = 0
    with pytest.raises(KilledError):
        await reviews.look()
    intake.crash_after = None
    await reviews.look()  # after a kill: told once, noted once
    ((title, _, incidents),) = intake.notices
    assert title.startswith("2 requests to dismiss an alert of a secret")
    assert incidents == ("incident-1",)
    ((incident, note),) = intake.notes
    assert incident == "incident-1"
    assert "asks to dismiss alert #7" in note
    assert note.endswith("https://github.test/acme/web/security/dismissal/1")


async def test_where_nobody_has_to_ask_it_is_silent_and_without_the_right_it_says_so(
    github: FakeGitHub, client: GitHubClient, intake: MemoryIntake
) -> None:
    reviews = Reviews("gh", client, intake, "github.com", ["org:off", "org:closed", "org:acme"])
    github.reviews.off, github.reviews.refused = {"off"}, {"closed"}
    github.reviews.add("bypass", "acme/web", DAY * 3)
    with pytest.raises(RemoteError, match="bypass request") as caught:
        await reviews.look()
    assert "org:closed: not permitted; the token must be of a reviewer" in str(caught.value)
    assert len(intake.notices) == 1  # the others are read all the same


@pytest.mark.parametrize(
    "body",
    [
        1,
        {},
        {"status": "open", "id": "1", "repository": {"full_name": "acme/web"}},
        {"status": "open", "id": 1, "repository": {"full_name": "acme/web/x"}},
        {"status": "open", "id": True, "repository": {"full_name": "acme/web"}},
    ],
)
async def test_what_cannot_be_read_is_counted(
    body: Any, github: FakeGitHub, client: GitHubClient, intake: MemoryIntake, reviews: Reviews
) -> None:
    github.mangle = lambda kind, _: [body] if kind == "bypass" else []
    await reviews.look()
    assert intake.notices == []
    assert intake.malformed_counts["review request"] == (body != {})  # without a status it waits for nobody


async def test_odd_answers_are_read_as_far_as_they_go(
    github: FakeGitHub, client: GitHubClient, reviews: Reviews
) -> None:
    token = expand("ghp_{alnum:30}{crc32}", 4)
    odd = {
        "status": "open", "id": 5, "repository": None, "requester": {"actor_name": "a\nb"}, "data": [{"path": 7}, "x"],
        "expires_at": "soon", "html_url": "javascript:alert(1)", "requester_comment": token,
    }  # fmt: skip
    github.mangle = lambda kind, _: [odd]
    (one,) = await listed(client, "repo:acme/web")
    assert one is not None
    assert (one.who, one.expires, one.url, one.where) == ("a?b", None, "", ())
    assert one.words == "acme/web: a?b asks to push a secret, to be answered some day"
    github.mangle = lambda kind, _: {"message": "no list"}
    with pytest.raises(RemoteError, match="the answer is not a list"):
        await reviews.look()


async def test_of_ten_thousand_those_up_to_a_limit_are_reported_and_that_is_said(
    github: FakeGitHub, client: GitHubClient, intake: MemoryIntake, reviews: Reviews
) -> None:
    github.check = False
    made = github.reviews.add("bypass", "acme/web", 3 * DAY)
    github.reviews.requests["bypass"] = [{**made, "id": number} for number in range(1, 10_001)]
    for _ in range(2):
        with pytest.raises(RemoteError, match="more than 2,000; the rest is not read"):
            await reviews.look()
    ((title, text, _),) = intake.notices
    assert title.startswith("2000 requests")
    assert text.count("\n") == 10
    assert "and 1990 more" in text


async def test_a_listing_that_breaks_off_forgets_nothing(
    github: FakeGitHub, client: GitHubClient, intake: MemoryIntake, reviews: Reviews
) -> None:
    github.check = False
    made = github.reviews.add("bypass", "acme/web", 3 * DAY)
    github.reviews.requests["bypass"] = [{**made, "id": number} for number in range(150)]
    await reviews.look()
    link = f'<{github.url}/orgs/acme/bypass-requests/secret-scanning?page=2>; rel="next"'
    github.faults.extend([(200, {"Link": link}, []), (422, {}, {"message": "no"})])
    with pytest.raises(RemoteError):
        await reviews.look()
    await reviews.look()
    assert len(intake.notices) == 1
