from __future__ import annotations

from unittest.mock import AsyncMock

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from monitor.common.credential import Credential
from monitor.github import redeliver as module
from monitor.github.client import GitHubClient
from monitor.github.redeliver import redeliver
from tests.fakes.alerts import MemoryIntake
from tests.fakes.github import FakeGitHub, delivery


@pytest.fixture
async def github(tmp_path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "app.pem").write_bytes(pem)
    async with FakeGitHub(app_key=key.public_key()) as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
async def client(github: FakeGitHub, tmp_path, monkeypatch: pytest.MonkeyPatch):
    real = module.asyncio.sleep
    monkeypatch.setattr(module.asyncio, "sleep", lambda seconds: real(0))
    client = GitHubClient.with_app(github.url, "4242", Credential(f"file:{tmp_path / 'app.pem'}"), "orgs/acme")
    yield client
    await client.close()


async def test_what_failed_is_asked_for_once(github: FakeGitHub, client: GitHubClient) -> None:
    intake = MemoryIntake()
    github.deliveries = [
        delivery(1, "a", 500),
        delivery(2, "b", 202),
        delivery(3, "c", 502),
        delivery(4, "c", 202),  # a later attempt succeeded
        delivery(5, "d", 500, event="push"),
        delivery(6, "e", 0),
    ]
    await redeliver(client, intake, "github", "secret_scanning")
    assert sorted(github.redelivered) == [1, 6]
    await redeliver(client, intake, "github", "secret_scanning")
    assert sorted(github.redelivered) == [1, 6]
    github.deliveries.append(delivery(7, "f", 500))
    assert await redeliver(client, intake, "github", "secret_scanning") == 7
    assert sorted(github.redelivered) == [1, 6, 7]
    github.deliveries.append(delivery(8, "g", 500))
    intake.positions = AsyncMock(side_effect=AssertionError("they may be many"))  # type: ignore[method-assign]
    assert await redeliver(client, intake, "github", "secret_scanning", 7) == 8
    assert sorted(github.redelivered) == [1, 6, 7, 8]


async def test_one_that_github_does_not_repeat_does_not_hold_up_the_others(
    github: FakeGitHub, client: GitHubClient
) -> None:
    intake = MemoryIntake()
    github.deliveries = [delivery(1, "a", 500), delivery(2, "b", 500), delivery(3, "c", 400)]

    def refuse(kind: str, body: object) -> object:
        github.faults.append((422, {}, {"message": "too old"}))
        return body

    github.mangle = refuse
    await redeliver(client, intake, "github", "secret_scanning")
    assert github.redelivered == [1]  # the newest was refused; 400 is what our own hook says for good
    github.mangle = None
    await redeliver(client, intake, "github", "secret_scanning")
    assert github.redelivered == [1]


async def test_all_pages_back_to_the_last_look_are_read(github: FakeGitHub, client: GitHubClient) -> None:
    intake = MemoryIntake()
    github.deliveries = [delivery(number, f"g{number}", 202) for number in range(1, 250)]
    github.deliveries[9]["status_code"] = 500
    await redeliver(client, intake, "github", "secret_scanning")
    assert github.redelivered == [10]
    github.requests.clear()
    await redeliver(client, intake, "github", "secret_scanning")
    assert len(github.requests) == 1


async def test_entries_that_make_no_sense_are_counted(github: FakeGitHub, client: GitHubClient) -> None:
    intake = MemoryIntake()
    github.deliveries = [delivery(1, "a", 500)]
    github.mangle = lambda kind, body: [None, {}, {"id": "x"}, *body] if kind == "deliveries" else body
    await redeliver(client, intake, "github", "secret_scanning")
    assert github.redelivered == [1]
    assert intake.malformed_counts["delivery"] == 3
