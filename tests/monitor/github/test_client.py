from __future__ import annotations

import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from monitor.common.credential import Credential
from monitor.common.http import RemoteError
from monitor.github.auth import AuthError
from monitor.github.client import GitHubClient
from monitor.github.limits import Quota
from tests.fakes.github import FakeGitHub, delivery

ORG = "/orgs/acme/secret-scanning/alerts"


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> Credential:
    monkeypatch.setenv("FAKE_GITHUB_TOKEN", FakeGitHub.token)
    return Credential("env:FAKE_GITHUB_TOKEN")


@pytest.fixture
async def client(github: FakeGitHub, token: Credential):
    client = GitHubClient.with_token(github.url, token)
    client.first_retry = 0.01
    yield client
    await client.close()


@pytest.mark.parametrize("cursors", [True, False])
async def test_pages_follow_the_link_header_to_the_end(github: FakeGitHub, client: GitHubClient, cursors: bool) -> None:
    github.cursors = cursors
    for number in range(7):
        github.add("acme/web", f"value-{number}", age=number)
    params = {"per_page": "3", "sort": "updated", "after": ""} if cursors else {"per_page": "3", "sort": "updated"}
    numbers = [alert["number"] async for page in client.pages(ORG, params) for alert in page.body]
    assert sorted(numbers) == list(range(1, 8))
    assert [query.get("page") for _, _, query in github.requests] == ([None] * 3 if cursors else [None, "2", "3"])


async def test_a_link_to_another_server_is_refused(github: FakeGitHub, client: GitHubClient) -> None:
    with pytest.raises(RemoteError, match="another server; check base_url"):
        await client.get("http://127.0.0.2:1/orgs/acme")
    github.faults.append((302, {"Location": "https://elsewhere.test/x"}, None))
    with pytest.raises(RemoteError, match="another server"):
        await client.get(ORG)
    assert len(github.requests) == 1


_MEASURED = r"""
import re
from yarl import URL
from monitor.common.http import RemoteError
from monitor.github.client import _json

try:
    _json(b"[" + b"[]," * (10 << 20) + b"[]]", 200, "GET", URL("https://x.test/a"))
except RemoteError as error:
    print(error)
# Of this process alone: what getrusage says was already reached by the one that started it.
print(int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) >> 10)
"""


def test_an_answer_of_many_values_takes_no_memory() -> None:
    """31 MiB took 1 GB."""
    command = [sys.executable, "-c", _MEASURED]
    root = str(Path(__file__).parents[3])
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, timeout=300)
    *said, peak = ended.stdout.splitlines()
    assert said == ["GET /a: the answer holds too many values"]
    assert int(peak) < 250, "MiB"


async def test_a_renamed_repository_is_followed_on_the_same_server(github: FakeGitHub, client: GitHubClient) -> None:
    github.add("acme/new", "v")
    github.faults.append((301, {"Location": "/repos/acme/new/secret-scanning/alerts"}, None))
    answer = await client.get("/repos/acme/old/secret-scanning/alerts")
    assert [alert["number"] for alert in answer.body] == [1]


async def test_conditional_reads_cost_nothing_until_something_changes(github: FakeGitHub, client: GitHubClient) -> None:
    alert = github.add("acme/web", "v", age=50)
    first = await client.get(ORG, conditional=True)
    assert first.status == 200
    assert (await client.get(ORG, conditional=True)).status == 200  # nothing was remembered yet
    client.remember(first)
    left = github.remaining
    assert (await client.get(ORG, conditional=True)).status == 304
    assert github.remaining == left
    github.touch(alert, validity="active")
    assert (await client.get(ORG, conditional=True)).status == 200


async def test_retry_after_is_waited_for(github: FakeGitHub, client: GitHubClient) -> None:
    github.faults.append((429, {"Retry-After": "1"}, {"message": "slow down"}))
    start = time.monotonic()
    assert (await client.get(ORG)).status == 200
    assert time.monotonic() - start >= 1.0


async def test_a_used_up_quota_waits_for_its_reset_by_githubs_clock(github: FakeGitHub, client: GitHubClient) -> None:
    github.skew = -7200.0  # GitHub's clock is two hours behind ours (or ours ahead)
    github.faults.append((200, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(github.now()) + 1)}, []))
    waits: list[float] = []
    client.on_wait = waits.append
    await client.get(ORG)
    start = time.monotonic()
    await client.get(ORG)
    assert 0.5 <= time.monotonic() - start < 5


async def test_a_secondary_limit_without_hints_backs_off_from_a_minute(
    github: FakeGitHub, client: GitHubClient
) -> None:
    budget = await client.budget()
    assert budget.backoff == 60.0
    budget.backoff = 0.2
    message = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}
    github.faults.extend([(403, {}, message), (403, {}, message)])
    start = time.monotonic()
    await client.get(ORG)
    assert time.monotonic() - start >= 0.2 + 0.4
    assert budget.refusals == 0


async def test_a_missing_permission_is_not_taken_for_a_limit(github: FakeGitHub, client: GitHubClient) -> None:
    github.faults.append((403, {}, {"message": "Resource not accessible by personal access token"}))
    with pytest.raises(RemoteError, match=r"403 \(not permitted") as caught:
        await client.get(ORG)
    assert (caught.value.retry, caught.value.status) == (False, 403)
    assert len(github.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_server_errors_are_retried_a_few_times(github: FakeGitHub, client: GitHubClient, status: int) -> None:
    github.faults.extend([(status, {}, b"<html>proxy</html>")] * 2)
    assert (await client.get(ORG)).status == 200
    github.faults.extend([(status, {}, None)] * 5)
    with pytest.raises(RemoteError) as caught:
        await client.get(ORG)
    assert caught.value.retry
    assert len(github.requests) == 3 + 5


async def test_retry_after_of_a_server_error_is_waited_for(github: FakeGitHub, client: GitHubClient) -> None:
    github.faults.append((503, {"Retry-After": "1"}, None))
    start = time.monotonic()
    assert (await client.get(ORG)).status == 200
    assert time.monotonic() - start >= 1.0


@pytest.mark.parametrize("link", ["http://[broken", "https://x.test:99999999/"])
async def test_links_that_lead_nowhere_are_errors_like_others(
    github: FakeGitHub, client: GitHubClient, link: str
) -> None:
    github.faults.append((200, {"Link": f'<{link}>; rel="next"'}, []))
    with pytest.raises(RemoteError, match=r"no web address|another server"):
        async for _ in client.pages(ORG):
            pass
    client.attempts = 1
    github.faults.append((302, {"Location": link}, None))
    with pytest.raises(RemoteError):
        await client.get(ORG)


async def test_errors_show_neither_token_nor_query_nor_body(github: FakeGitHub, client: GitHubClient) -> None:
    canary = "canary-in-an-answer"
    for status in (400, 404, 422):
        github.faults.append((status, {}, {"message": canary}))
        with pytest.raises(RemoteError) as caught:
            await client.get(ORG, {"secret_type": "marker-in-a-query"})
        text = f"{caught.value!r} {caught.value.__cause__!r}"
        assert canary not in text
        assert "marker-in-a-query" not in text
        assert FakeGitHub.token not in text
    github.faults.append((200, {}, canary.encode()))
    client.attempts = 1
    with pytest.raises(RemoteError, match="not JSON") as caught:
        await client.get(ORG)
    assert canary not in repr(caught.value)


async def test_an_unreachable_server_is_an_error_that_asks_for_a_retry(token: Credential) -> None:
    client = GitHubClient.with_token("http://127.0.0.1:9", token)
    client.attempts, client.first_retry = 2, 0.01
    with pytest.raises(RemoteError) as caught:
        await client.get(ORG)
    assert (caught.value.retry, caught.value.status) == (True, 0)
    await client.close()


async def test_writes_go_out_at_most_once_a_second(github: FakeGitHub, client: GitHubClient) -> None:
    github.add("acme/web", "v")
    for comment in ("one", "two", "three"):
        body = {"state": "resolved", "resolution": "revoked", "resolution_comment": comment}
        await client.write("PATCH", "/repos/acme/web/secret-scanning/alerts/1", body)
    times = [when for when, _, _ in github.writes]
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(times))


async def test_a_refused_token_is_read_again_once(
    github: FakeGitHub, client: GitHubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.get(ORG)
    github.token = "the-next-token"
    monkeypatch.setenv("FAKE_GITHUB_TOKEN", "the-next-token")
    assert (await client.get(ORG)).status == 200
    monkeypatch.setenv("FAKE_GITHUB_TOKEN", "wrong")
    github.token = "yet another"
    with pytest.raises(RemoteError, match="401"):
        await client.get(ORG)


async def test_two_clients_of_one_token_share_a_budget(
    github: FakeGitHub, token: Credential, client: GitHubClient
) -> None:
    other = GitHubClient.with_token(github.url, token)
    assert other.quotas() == []
    assert await other.budget() is await client.budget()
    (await client.budget()).quotas["core"] = Quota(5000, -1, time.monotonic() + 90)
    (quota,) = other.quotas()
    assert (quota.resource, quota.limit, quota.remaining) == ("core", 5000, 0)
    assert 80 < quota.seconds <= 90
    await other.close()


@pytest.fixture(scope="module")
def app_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
async def app(github: FakeGitHub, app_key, tmp_path):
    pem = app_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    (tmp_path / "app.pem").write_bytes(pem)
    github.app_key = app_key.public_key()
    client = GitHubClient.with_app(github.url, "4242", Credential(f"file:{tmp_path / 'app.pem'}"), "orgs/acme")
    yield client
    await client.close()


async def test_an_app_finds_its_installation_and_uses_its_token(github: FakeGitHub, app: GitHubClient) -> None:
    github.add("acme/web", "v")
    assert len((await app.get(ORG)).body) == 1
    assert (await app.get(ORG)).status == 200
    assert len(github.issued) == 1
    assert github.requests[0][1] == "/orgs/acme/installation"
    assert await app.auth.identity() == "app:4242:77"


async def test_an_installation_token_is_renewed_before_its_end(github: FakeGitHub, app: GitHubClient) -> None:
    github.token_life = 299.0  # within the margin: every use asks for a new one
    await app.get(ORG)
    first = app.auth.generation
    await app.get(ORG)
    assert app.auth.generation > first
    github.token_life = 3600.0
    await app.get(ORG)
    count = len(github.issued)
    await app.get(ORG)
    assert len(github.issued) == count


async def test_trouble_with_the_log_in_is_not_taken_for_that_of_an_alert(github: FakeGitHub, app: GitHubClient) -> None:
    github.faults.append((404, {}, {"message": "Not Found"}))  # the installation is gone
    with pytest.raises(AuthError, match="/orgs/acme/installation: 404"):
        await app.get(ORG)
    github.faults.append((429, {"Retry-After": "7"}, {"message": "slow down"}))
    with pytest.raises(RemoteError, match="429") as caught:
        await app.get(ORG)
    assert (caught.value.retry, caught.value.status) == (True, 0)


async def test_an_etag_of_an_old_token_is_not_sent(github: FakeGitHub, app: GitHubClient) -> None:
    answer = await app.get(ORG, conditional=True)
    app.remember(answer)
    app.auth.rejected()
    assert (await app.get(ORG, conditional=True)).status == 200
    assert github.not_modified == 0


async def test_the_apps_jwt_follows_githubs_clock(github: FakeGitHub, app: GitHubClient) -> None:
    github.skew = -3600.0
    assert (await app.get(ORG)).status == 200


async def test_the_app_lists_its_deliveries(github: FakeGitHub, app: GitHubClient) -> None:
    github.deliveries.append(delivery(1, "guid", 502))
    answer = await app.app("GET", "/app/hook/deliveries", {"per_page": "100"})
    assert [item["guid"] for item in answer.body] == ["guid"]


async def test_a_bad_key_file_is_named_without_its_content(github: FakeGitHub, tmp_path) -> None:
    (tmp_path / "app.pem").write_text("not a key at all")
    client = GitHubClient.with_app(github.url, "4242", Credential(f"file:{tmp_path / 'app.pem'}"), "orgs/acme")
    with pytest.raises(Exception, match="not an RSA private key") as caught:
        await client.get(ORG)
    assert "not a key at all" not in repr(caught.value)
    await client.close()


async def test_where_content_is_stored_is_given_and_not_followed(github: FakeGitHub, client: GitHubClient) -> None:
    moved = {"Location": f"{github.url}/repos/acme/new"}
    github.faults.extend(
        [(301, moved, None), (302, {"Location": "https://storage.example/a?sig=b%2F"}, b"<html>elsewhere</html>")]
    )
    assert await client.location("/repos/acme/web") == "https://storage.example/a?sig=b%2F"
    assert [path for _, path, _ in github.requests] == ["/repos/acme/web", "/repos/acme/new"]
    for status, headers in ((200, {}), (302, {})):
        github.faults.append((status, headers, {}))
        with pytest.raises(RemoteError, match="no address of its content") as caught:
            await client.location("/repos/acme/web")
        assert caught.value.status == status


async def test_a_client_may_know_better_what_a_status_means(
    github: FakeGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GITHUB_TOKEN", FakeGitHub.token)
    client = GitHubClient.with_token(
        github.url, Credential("env:FAKE_GITHUB_TOKEN"), advice={403: "ask for another right"}
    )
    for status, said in ((403, "ask for another right"), (422, "GitHub did not accept the values")):
        github.faults.append((status, {}, {"message": "no"}))
        with pytest.raises(RemoteError, match=said):
            await client.get("/repos/acme/web")
    await client.close()
