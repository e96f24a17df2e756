from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.clients.client import ServiceError
from monitor.common.credential import Credential
from monitor.gitlab.client import GitLab, GoneError, encoded
from tests.fakes.gitlab import TOKEN, FakeGitLab
from tests.fakes.server import Fault
from tests.fakes.smtp import certificate


@pytest.fixture
async def gitlab(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGitLab]:
    monkeypatch.setenv("GITLAB_TOKEN", TOKEN)
    async with FakeGitLab() as server:
        yield server


@pytest.fixture
async def client(gitlab: FakeGitLab) -> AsyncIterator[GitLab]:
    made = GitLab("source ci", gitlab.url, Credential("env:GITLAB_TOKEN"))
    made._client.first_retry = 0.001
    yield made
    await made.close()


async def test_a_list_is_read_by_its_links(gitlab: FakeGitLab, client: GitLab) -> None:
    gitlab.size = 2
    gitlab.projects = {number: f"acme/p{number}" for number in range(1, 6)}
    rows = [
        [row["id"] for row in page] async for page in client.pages("projects", f"groups/{encoded('acme')}/projects")
    ]
    assert rows == [[5, 4], [3, 2], [1]]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(200, body="<html>"), "not JSON"),
        (Fault(302, headers={"Location": "http://127.0.0.1:9/"}), "leads elsewhere"),
        (Fault(403, echo=True), "needs read_api"),
        (
            Fault(200, body="[]", headers={"Link": '<{url}/api/v4/groups/a/projects?per_page=100>; rel="next"'}),
            "lead on",
        ),
    ],
)
async def test_what_is_wrong_is_said_with_what_to_do(
    gitlab: FakeGitLab, client: GitLab, fault: Fault, says: str
) -> None:
    headers = {name: value.replace("{url}", gitlab.url) for name, value in fault.headers.items()}
    gitlab.always = Fault(fault.status, headers=headers, body=fault.body, echo=fault.echo)
    with pytest.raises(ServiceError, match=says) as caught:
        [page async for page in client.pages("projects", "groups/a/projects")]
    assert TOKEN not in str(caught.value)


async def test_a_server_has_its_own_ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITLAB_TOKEN", TOKEN)
    pem, key = certificate(tmp_path)
    server = FakeGitLab()
    server.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.tls.load_cert_chain(pem, key)
    async with server:
        trusting = GitLab("source ci", server.url, Credential("env:GITLAB_TOKEN"), pem)
        try:
            assert (await trusting.one("project", "projects/7"))["path_with_namespace"] == "acme/web"
            server.ran(71, b"<1>")
            assert await whole(trusting, 71) == b"<1>"
        finally:
            await trusting.close()


async def test_a_limit_is_waited_out_and_the_clock_is_theirs(gitlab: FakeGitLab, client: GitLab) -> None:
    ends = {"RateLimit-Reset": "0.0", "Retry-After": "0.001"}
    gitlab.faults.extend([Fault(429, headers=ends), None])
    await client.one("project", "projects/7")
    assert abs(client.now - gitlab.now) < 60
    gitlab.ran(71, b"<1>").faults = [Fault(429, headers=ends)]
    assert await whole(client, 71) == b"<1>"
    gitlab.ran(72, None)
    with pytest.raises(GoneError):
        await whole(client, 72)
    gitlab.ran(73, b"<3>").faults = [Fault(cut=True)]
    with pytest.raises(ServiceError, match="source ci: log: "):
        await whole(client, 73)
    gitlab.always = Fault(429, headers={"Retry-After": "3000"})
    with pytest.raises(ServiceError, match="HTTP 429"):
        await whole(client, 71)


async def whole(client: GitLab, job: int) -> bytes:
    async with client.log("log", 7, job) as pieces:
        return b"".join([piece async for piece in pieces])
